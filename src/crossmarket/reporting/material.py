"""Everything a run folder holds that a report tells of."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import polars as pl

from crossmarket.data.splits import Split
from crossmarket.data.store import REJECTED_FILE, read_facts
from crossmarket.errors import DataError
from crossmarket.evaluation.protocols import KINDS, Protocol
from crossmarket.experiments.leaderboard.guide import trust
from crossmarket.experiments.run import Run
from crossmarket.experiments.run_record import RUN_FILE
from crossmarket.experiments.stored_split import is_split, read_split
from crossmarket.files import read_json
from crossmarket.reporting.trainings import Training, read_trainings

History = Literal["train", "train+valid"]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `crossmarket evaluate` left.

    Attributes
    ----------
    protocol, result : Protocol, dict
        How it was evaluated, and what came out.
    per_user, hits : polars.DataFrame
        As in `MarketEvaluation`, of all markets.
    alone : polars.DataFrame or None
        As `per_user`, of the system learned from each market alone, where that was measured.
    """

    protocol: Protocol
    result: dict[str, Any]
    per_user: pl.DataFrame
    hits: pl.DataFrame
    alone: pl.DataFrame | None = None

    @property
    def markets(self) -> tuple[str, ...]:
        """Evaluated markets."""
        return tuple(self.result["markets"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics that every user has a value of, in the order of the file."""
        return tuple(name for name in self.per_user.columns if "@" in name)


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a run holds of one protocol.

    Attributes
    ----------
    protocol : Protocol
        With the history of the training alone.
    split : Split
        The stored parts.
    trainable : dict of market to int, or None
        Trainable scalars of each target; None where the fit was not finished.
    trainings : tuple of Training
        Finished stages.
    evaluations : tuple of Evaluation
        None, one, or one for each history that was scored from.
    """

    protocol: Protocol
    split: Split
    trainable: dict[str, int] | None
    trainings: tuple[Training, ...]
    evaluations: tuple[Evaluation, ...]


@dataclass(frozen=True, eq=False)
class Material:
    """A run and all that was found in it.

    Attributes
    ----------
    run : Run
        The opened run.
    versions : dict of str to str
        What it was fitted with.
    accounting : dict or None
        Fates of the rows that were read, as `ReadReport.to_dict`.
    rejected : polars.DataFrame
        The rejected rows, columns as `REJECTED_SCHEMA`.
    fitted : tuple of Fitted
        Protocols, the most telling first.
    """

    run: Run
    versions: dict[str, str]
    accounting: dict[str, Any] | None
    rejected: pl.DataFrame
    fitted: tuple[Fitted, ...]

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.path.resolve().name


def read_run(path: Path) -> Material:
    """Read a run folder; nothing in it is written or trained.

    Raises
    ------
    UsageError
        If the path is no run.
    DataError
        If one of its files was changed.
    """
    run = Run.open(path)
    fitted = [
        found
        for folder in sorted(path.iterdir())
        if is_split(folder / "split") and (found := _read_fitted(run, folder))
    ]
    return Material(
        run=run,
        versions=read_json(path / RUN_FILE)["versions"],
        accounting=read_facts(path / "data").get("accounting"),
        rejected=pl.read_csv(path / "data" / REJECTED_FILE, infer_schema=False),
        fitted=tuple(sorted(fitted, key=lambda one: trust(one.protocol.label))),
    )


def _read_fitted(run: Run, folder: Path) -> Fitted | None:
    protocol = next((one for one in _protocols(run, folder) if one.fit_label == folder.name), None)
    if protocol is None:
        return None
    file = folder / "fit.json"
    return Fitted(
        protocol=protocol,
        split=read_split(folder / "split"),
        trainable=_read(file)["trainable"] if file.is_file() else None,
        trainings=read_trainings(folder / "stages", run.settings.targets),
        evaluations=tuple(_evaluations(protocol, folder)),
    )


def _protocols(run: Run, folder: Path) -> Iterator[Protocol]:
    """Protocols whose results may lie in a folder of that name."""
    launch = re.match(r"launch-(\d*\.?\d+)", folder.name)
    names = [*KINDS, *([f"launch@{launch[1]}"] if launch else [])]
    cuts = (None, run.settings.protocol.cuts)
    for name, refit, companions, dates in product(names, (False, True), ("keep", "drop"), cuts):
        yield Protocol(name=name, refit=refit, companions=companions, cuts=dates)


def _evaluations(protocol: Protocol, folder: Path) -> Iterator[Evaluation]:
    for history in get_args(History):
        own = protocol.model_copy(update={"history": history})
        stem = own.evaluation_label
        file = folder / f"{stem}.json"
        if not file.is_file():
            continue
        result = _read(file)
        try:
            per_user = pl.read_parquet(file.with_suffix(".parquet"))
            hits = pl.read_parquet(folder / f"{stem}-hits.parquet")
            alone = pl.read_parquet(folder / f"{stem}-alone.parquet") if "alone" in result else None
            counts = dict(per_user.group_by("market").len().iter_rows())
            expected = {market: row["users"] for market, row in result["markets"].items()}
        except (OSError, pl.exceptions.PolarsError, KeyError, TypeError, AttributeError) as error:
            raise _changed(file) from error
        if result.get("protocol") != own.label or counts != expected:
            raise _changed(file)
        yield Evaluation(own, result, per_user, hits, alone)


def _read(file: Path) -> dict[str, Any]:
    try:
        return dict(read_json(file))
    except (ValueError, TypeError) as error:
        raise _changed(file) from error


def _changed(file: Path) -> DataError:
    return DataError(f"{file} was changed or is not whole; repeat `crossmarket evaluate`")
