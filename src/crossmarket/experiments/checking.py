"""`crossmarket check`: leaks between parts, and files that are not what they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.artifact.artifact import Artifact, is_artifact
from crossmarket.data.readers import read_data
from crossmarket.data.splits import Split, given_split
from crossmarket.errors import CrossmarketError, UsageError
from crossmarket.evaluation.leak import find_leaks
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import Run
from crossmarket.experiments.run_record import RUN_FILE
from crossmarket.experiments.stored_split import is_split, read_split
from crossmarket.training.stage import verified_record

_SHOWN = 10


@dataclass(frozen=True)
class CheckReport:
    """What a check found.

    Attributes
    ----------
    leaks : polars.DataFrame
        `split, market, user_id, item_id, part_a, part_b`; a row for each leaked pair.
    damage : list of str
        Sentences on files that changed since they were written.
    checked : list of str
        What was looked at.
    """

    leaks: pl.DataFrame
    damage: list[str]
    checked: list[str]

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return self.leaks.is_empty() and not self.damage

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "passed": self.passed,
            "checked": self.checked,
            "num_leaks": self.leaks.height,
            "leaks": self.leaks.to_dicts(),
            "damage": self.damage,
        }

    def __str__(self) -> str:
        lines = [f"checked {item}" for item in self.checked]
        lines += [f"damaged: {sentence}" for sentence in self.damage]
        for row in self.leaks.head(_SHOWN).iter_rows(named=True):
            lines.append(
                f"leak: user {row['user_id']} and item {row['item_id']} of market {row['market']} "
                f"are in {row['part_a']} and {row['part_b']}"
            )
        if self.leaks.height > _SHOWN:
            lines.append(f"... and {self.leaks.height - _SHOWN:,} more")
        lines.append(
            "passed: no leak, no damage"
            if self.passed
            else f"failed: {self.leaks.height:,} leaked pairs, {len(self.damage)} damaged files"
        )
        return "\n".join(lines)


def check_path(path: Path, *, leaky: Sequence[str] = ()) -> CheckReport:
    """Check a run folder, an artifact, or data that bring their own parts.

    Parameters
    ----------
    leaky : sequence of str
        Protocols that are known to leak on purpose; their leaks are counted, not held against
        the run or the data.

    Raises
    ------
    UsageError
        If the path holds neither, or a protocol named here does not leak on purpose.
    """
    for name in leaky:
        if not Protocol(name=name).require_known().leaks:
            raise UsageError(f"protocol {name!r} must not leak, so no leak of it can be passed")
    if not path.exists():
        raise UsageError(f"there is nothing at {path}; name a run, an artifact or data")
    if (path / RUN_FILE).is_file():
        return _check_run(path, leaky)
    if is_artifact(path):
        return _check_artifact(path)
    data = read_data(path)
    if data.parts is None:
        raise UsageError(
            f"{path} has no train, valid and test parts to compare; "
            f"make them with `crossmarket data split {path} --out FOLDER`"
        )
    split = read_split(path) if is_split(path) else given_split(data.parts)
    leaks, found = _judge(f"parts of {path.name}", path.name, split, split.name in leaky)
    return CheckReport(leaks, [], [found])


def _check_run(path: Path, leaky: Sequence[str]) -> CheckReport:
    damage: list[str] = []
    tables: list[pl.DataFrame] = []
    checked = ["data"]
    try:
        Run.open(path)
    except CrossmarketError as error:
        damage.append(str(error))
    for folder in sorted(path.glob("*/split")):
        name = folder.parent.name
        try:
            split = read_split(folder)
            leaks, found = _judge(f"split {name}", name, split, split.name in leaky)
            tables.append(leaks)
            checked.append(found)
        except CrossmarketError as error:
            checked.append(f"split {name}")
            damage.append(str(error))
    for record_file in sorted(path.glob("*/stages/**/stage.json")):
        stage = record_file.parent
        checked.append(f"stage {stage.name}")
        try:
            verified_record(stage)
        except CrossmarketError as error:
            damage.append(str(error))
    leaks = pl.concat(tables) if tables else _leaks("", None)
    return CheckReport(leaks, damage, checked)


def _check_artifact(path: Path) -> CheckReport:
    """Every byte against its hash, every recorded answer against what comes out here."""
    try:
        artifact = Artifact.open(path)
    except CrossmarketError as error:
        return CheckReport(_leaks("", None), [str(error)], [f"artifact {path.name}"])
    names = sorted({*artifact.markets, *artifact.unavailable})
    checked = ["backbone", *(f"market {name}" for name in names)]
    return CheckReport(_leaks("", None), list(artifact.unavailable.values()), checked)


def _judge(title: str, name: str, split: Split, named: bool) -> tuple[pl.DataFrame, str]:
    """The leaks that count against a split, and what to say was checked."""
    leaks = _leaks(name, split)
    if not named:
        return leaks, title
    return _leaks(name, None), f"{title}: {leaks.height:,} leaked pairs, on purpose"


def _leaks(name: str, split: Split | None) -> pl.DataFrame:
    if split is None:
        columns = ("split", "market", "user_id", "item_id", "part_a", "part_b")
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String()))
    return find_leaks(split).select(pl.lit(name).alias("split"), pl.all())
