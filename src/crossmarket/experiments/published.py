"""Tables that the papers of the field print, as data: cells, marks, what is concluded from them."""

from __future__ import annotations

from collections import Counter
from functools import cache, cached_property
from importlib.resources.abc import Traversable
from typing import Literal, Self

import polars as pl
from pydantic import Field, model_validator

from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.published_faults import faults
from crossmarket.experiments.published_rows import Claim, Part, PublishedRow, SystemChoice
from crossmarket.experiments.systems import CATALOGUE, SystemConfig
from crossmarket.experiments.yaml_files import read_yaml
from crossmarket.metrics.ranking import parse_metric

__all__ = [
    "Claim",
    "PublishedRow",
    "PublishedTable",
    "load_published",
    "published_tables",
    "read_published",
]

Paper = Literal["DCMPT", "ACMR", "FOREC", "M3Rec", "efficient-xmrec"]

#: What a table shows, and so how ours is measured:
#:
#: - `comparison`: a row is a system;
#: - `sources`: a row is a system that learns from certain sources, see `PublishedRow.sources`;
#: - `gains`: a cell is the relative change of the row's system against the table's reference;
#: - `costs`: a row is a system, with parameters and times beside its quality;
#: - `unseen-target`: a row is a system, some of which were pre-trained without the target;
#: - `item-groups`: a row is a system on some of the items, see `PublishedRow.items`;
#: - `statistics`: a row is a count of the data, its metric `value`.
Kind = Literal[
    "comparison", "sources", "gains", "costs", "unseen-target", "item-groups", "statistics"
]


class PublishedTable(Part):
    """A table as a paper prints it, and under what ours is measured.

    Attributes
    ----------
    name, paper, table, title : str, str, int or None, str
        Name in the catalogue; the paper, its number of the table, and what the table shows.
    kind : str
        See `Kind`.
    data : {"xmarket", "wsdm"}
        Public data that ours is measured on.
    protocol : Protocol, optional
        Under which; absent for statistics.
    stated : str
        What the paper says of its data and protocol, and what it leaves open.
    comparable : str, optional
        Why no number of the table can be compared with a measured one; absent where it can.
    columns : tuple of str
        As printed, names of markets in lower case.
    markets : tuple of str or None
        The market of each column, None for one that is no market; the columns when absent.
    percent : bool
        All values are printed in percent.
    reference : SystemChoice, optional
        What `gains` are measured against.
    notes : tuple of str
        What is odd or worth knowing about the table as printed.
    rows : tuple of PublishedRow
        In the paper's order.
    claims : tuple of Claim
        What the paper concludes from it.
    """

    name: str
    paper: Paper
    table: int | None = None
    title: str
    kind: Kind
    data: Literal["xmarket", "wsdm"]
    protocol: Protocol | None = None
    stated: str
    comparable: str | None = None
    columns: tuple[str, ...] = Field(min_length=1)
    markets: tuple[str | None, ...] = ()
    percent: bool = False
    reference: SystemChoice | None = None
    notes: tuple[str, ...] = ()
    rows: tuple[PublishedRow, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What each row is called: its title, or `group / title` where titles repeat."""
        times = Counter(row.title for row in self.rows)
        return tuple(
            row.title if times[row.title] == 1 else f"{row.group} / {row.title}"
            for row in self.rows
        )

    @property
    def row_of(self) -> dict[str, PublishedRow]:
        """The rows by their labels."""
        return dict(zip(self.labels, self.rows, strict=True))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of the table that can be measured, in its order."""
        names = dict.fromkeys(name for row in self.rows for name in row.values)
        return tuple(name for name in names if _is_metric(name))

    @property
    def market_of(self) -> dict[str, str]:
        """Market in the public data of each column that is one."""
        pairs = zip(self.columns, self.markets or self.columns, strict=True)
        return {column: market for column, market in pairs if market is not None}

    def frame(self) -> pl.DataFrame:
        """The cells: `group, row, metric, column, value`; percent turned into fractions.

        `row` holds labels; `value` is null where the paper leaves a cell empty.
        """
        cells = [
            (row.group, label, metric, column, _fraction(value, row.percent or self.percent))
            for label, row in zip(self.labels, self.rows, strict=True)
            for metric, values in row.values.items()
            for column, value in zip(self.columns, values, strict=True)
        ]
        schema = dict.fromkeys(("group", "row", "metric", "column"), pl.String())
        return pl.DataFrame(cells, schema={**schema, "value": pl.Float64()}, orient="row")

    @property
    def reference_title(self) -> str | None:
        """Title of the reference."""
        found = self._reference_system
        return None if found is None else found.title

    @property
    def _reference_system(self) -> SystemConfig | None:
        return None if self.reference is None else self.reference.found(self.protocol)

    @cached_property
    def system_of(self) -> dict[str, SystemConfig]:
        """The system of each row that has one, by the row's label; titles as in `systems`."""
        rows = self.row_of.items()
        own = {
            label: found for label, row in rows if (found := row.found(self.protocol)) is not None
        }
        shown = list(own.values())
        return {
            label: system
            if self.kind == "gains" or shown.count(system) > 1
            else system.model_copy(update={"title": label})
            for label, system in own.items()
        }

    def systems(self) -> tuple[SystemConfig, ...]:
        """Distinct systems of the rows, then that of the reference.

        A system that one row shows bears the row's label. One that several rows show, with other
        sources or on other items, bears its own title, as all of a table of gains do.
        """
        found = list(self.system_of.values())
        if self._reference_system is not None:
            found.append(self._reference_system)
        return tuple(system for place, system in enumerate(found) if system not in found[:place])

    def beaten(self, claim: Claim) -> tuple[str, ...]:
        """Labels of the rows that a claim says are beaten."""
        rows = zip(self.labels, self.rows, strict=True)
        others = (name for name, row in rows if claim.metric in row.values)
        return claim.than or tuple(name for name in others if name != claim.better)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        """Refuse a table whose parts contradict each other, with the place of the first fault."""
        for fault in faults(self):
            raise ValueError(fault)
        return self


def _fraction(value: float | None, percent: bool) -> float | None:
    return value / 100 if value is not None and percent else value


def _is_metric(name: str) -> bool:
    try:
        parse_metric(name)
    except UsageError:
        return False
    return True


def published_tables() -> tuple[str, ...]:
    """Names of the published tables, sorted."""
    files = (path.name for path in (CATALOGUE / "tables").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


@cache
def load_published(name: str) -> PublishedTable:
    """A published table of the catalogue.

    Raises
    ------
    UsageError
        If there is none of the name (the message lists those there are), or as `read_published`.
    """
    if name not in published_tables():
        known = ", ".join(published_tables())
        raise UsageError(f"there is no published table {name!r}; choose from: {known}")
    return read_published(CATALOGUE / "tables" / f"{name}.yaml")


def read_published(path: Traversable) -> PublishedTable:
    """Read a published table of one's own from a YAML file of the catalogue's form.

    Raises
    ------
    UsageError
        With the place of the first fault.
    """
    return read_yaml(path, PublishedTable, "the table")
