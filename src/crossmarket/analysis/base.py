"""What an analysis is, and what it is run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from crossmarket.data.readers import ReadResult
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.systems import SystemConfig, resolve_system

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Setting:
    """What an analysis is run on.

    Attributes
    ----------
    data : ReadResult
        The interactions.
    folder : Path
        Results and trained stages; what is there is not computed again.
    markets : tuple of str
        Target markets to look at.
    systems : tuple of SystemConfig
        Systems to look at; an analysis of the data alone has none.
    protocol : Protocol
        How the data are split and what is ranked.
    seeds : tuple of int
        Seeds of splits and trainings.
    threads : int
        Threads of the numeric kernels.
    progress : bool
        Show progress bars on a terminal.
    report : callable
        Called with title, seed and record of each result of a comparison that passes it on.
    """

    data: ReadResult
    folder: Path
    markets: tuple[str, ...]
    systems: tuple[SystemConfig, ...] = ()
    protocol: Protocol = field(default_factory=Protocol)
    seeds: tuple[int, ...] = (0,)
    threads: int = 1
    progress: bool = False
    report: Callable[[str, int, dict[str, Any]], None] = lambda title, seed, record: None

    def require_protocol(self, name: str) -> None:
        """Check that nobody chose another protocol for an analysis that is about this one.

        Raises
        ------
        UsageError
            If the setting's protocol has another name.
        """
        if self.protocol.name != name:
            raise UsageError(f"this analysis is about {name}; leave out the protocol")

    def comparison(
        self,
        systems: Sequence[SystemConfig] | None = None,
        *,
        protocol: Protocol | None = None,
        data: ReadResult | None = None,
        markets: Sequence[str] | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Comparison:
        """A comparison in this setting, or in one that differs as the arguments say.

        Its `run()` and `hits()` compute what is missing; stages and results are shared by all
        comparisons of the folder.
        """
        chosen = self.systems if systems is None else tuple(systems)
        experiment = Experiment(
            name="analysis",
            data="given",
            targets=tuple(markets or self.markets),
            protocol=protocol or self.protocol,
            seeds=self.seeds,
            systems=chosen,
            reference=chosen[0].title,
            threads=self.threads,
            **({"metrics": tuple(metrics)} if metrics else {}),
        )
        return Comparison(experiment, self.folder, data or self.data, progress=self.progress)


@dataclass(frozen=True)
class Analysis:
    """One analysis: a table from a setting, and a picture from the table alone.

    Attributes
    ----------
    name : str
        What the command line calls it.
    summary : str
        What it shows, in a sentence.
    source : str
        Paper and figure it follows; `ours` where there is none.
    compute : callable
        The table. Rows and columns are in a fixed order, floats are not rounded.
    draw : callable
        The picture, from the table and nothing else.
    systems : tuple of str
        Titles of the catalogue's systems that it looks at unless told otherwise.
    protocol : str
        Name of the protocol unless told otherwise.
    """

    name: str
    summary: str
    source: str
    compute: Callable[[Setting], pl.DataFrame]
    draw: Callable[[pl.DataFrame], Figure]
    systems: tuple[str, ...] = ()
    protocol: str = "ratio-full"

    def setting(
        self,
        data: ReadResult,
        folder: Path,
        systems: Sequence[str | SystemConfig] | None = None,
        **chosen: Any,
    ) -> Setting:
        """The setting with this analysis' own defaults for all that is not chosen.

        Parameters
        ----------
        systems : sequence of str or SystemConfig, optional
            Titles of the catalogue, or systems written out.
        **chosen
            Other fields of `Setting`; None means the default.

        Raises
        ------
        UsageError
            If a chosen market is not in the data.
        """
        given = {name: value for name, value in chosen.items() if value is not None}
        for market in given.get("markets", ()):
            data.dataset.require_market(market)
        if systems and not self.systems:
            raise UsageError(f"{self.name} looks at the data alone; leave out the systems")
        default = Setting(
            data,
            folder,
            markets=data.dataset.markets,
            protocol=Protocol(name=self.protocol),
        )
        setting = replace(default, **given)
        chosen_systems = self.systems if systems is None else systems
        found = (resolve_system(one, setting.protocol) for one in chosen_systems)
        return replace(setting, systems=tuple(found))


def in_order(
    table: pl.DataFrame, setting: Setting, *columns: str, **names: Sequence[str]
) -> pl.DataFrame:
    """Sort a table by columns, which come first in it.

    Parameters
    ----------
    table : polars.DataFrame
        What to sort.
    setting : Setting
        Its markets and systems are the order of the columns `market` and `system`.
    *columns : str
        What to sort by; the first one weighs most. Upwards where no order is given.
    **names : sequence of str
        Orders of further columns, or another one of `market` or `system`. A row with a name that
        is not in its column's order is left out.
    """
    titles = [system.title for system in setting.systems]
    orders = {"market": setting.markets, "system": titles, **names}
    kinds = {name: pl.Enum(list(orders[name])) for name in columns if name in orders}
    kept = table.filter(*(pl.col(name).is_in(kind.categories) for name, kind in kinds.items()))
    keys = [pl.col(name).cast(kinds[name]) if name in kinds else pl.col(name) for name in columns]
    return kept.sort(*keys).select(*columns, pl.exclude(*columns))
