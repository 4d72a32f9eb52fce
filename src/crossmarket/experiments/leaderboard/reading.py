"""Folders of comparisons: read, checked, and joined where they say the same thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.errors import DataError, UsageError
from crossmarket.experiments.kept import not_whole, read_kept_record, read_kept_table

#: What `table.json` has to say.
_FACTS = {"protocol", "data", "users", "candidates", "metrics", "reference", "systems"}
KEYS = ["system", "seed", "market", "user_id"]
#: Means of the same values may differ in their last bits between versions of a library.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Folder:
    """What one comparison left behind."""

    path: Path
    table: Mapping[str, Any]
    costs: Mapping[str, Any]
    per_user: pl.DataFrame


@dataclass(frozen=True)
class Joined:
    """All comparisons under one protocol as if they had been one.

    Attributes
    ----------
    folders : tuple of Folder
        Where it came from; the first one gives the reference and the order of the markets.
    metrics : tuple of str
        Those that every folder has.
    candidates : dict
        Hash by seed.
    rows, costs : dict
        Row of the table, and costs of the first seed, of each system by title.
    per_user : polars.DataFrame
        `KEYS` and a column for each metric, each system and seed once.
    """

    folders: tuple[Folder, ...]
    metrics: tuple[str, ...]
    candidates: Mapping[str, str]
    rows: Mapping[str, Mapping[str, Any]]
    costs: Mapping[str, Mapping[str, float]]
    per_user: pl.DataFrame


def read_folder(path: Path) -> Folder:
    """Read what `crossmarket compare` wrote.

    Raises
    ------
    UsageError
        If the folder is not of a comparison.
    DataError
        If a file is not whole, or its table and its per-user values contradict each other.
    """
    facts, per_user, costs = path / "table.json", path / "per_user.parquet", path / "costs.json"
    for file in (facts, per_user):
        if not file.is_file():
            raise UsageError(f"{path} has no {file.name}; name a folder that `compare` wrote")
    table = read_kept_record(facts)
    if not table.keys() >= _FACTS:
        raise not_whole(facts)
    known = read_kept_record(costs) if costs.is_file() else {}
    folder = Folder(path, table, known, read_kept_table(per_user))
    _require_own_values(folder)
    return folder


def _require_own_values(folder: Folder) -> None:
    """Refuse per-user values that are not those behind the table."""
    metrics = list(folder.table["metrics"])
    lacking = [name for name in (*KEYS, *metrics) if name not in folder.per_user.columns]
    if lacking:
        raise DataError(f"{folder.path}/per_user.parquet has no column {lacking[0]!r}")
    means = folder.per_user.group_by("system", "market", "seed").agg(pl.col(metrics).mean())
    means = means.group_by("system", "market").agg(pl.col(metrics).mean())
    found = {(row["system"], row["market"]): row for row in means.iter_rows(named=True)}
    for row in folder.table["systems"]:
        for market, cells in row["markets"].items():
            own = found.get((row["title"], market))
            for metric in metrics:
                if own is None or abs(own[metric] - cells[metric]["mean"]) > _TOLERANCE:
                    raise DataError(
                        f"{folder.path}: per_user.parquet does not hold the {metric} of "
                        f"{row['title']!r} in {market} that table.json gives; compare again"
                    )


def join(folders: Sequence[Folder]) -> Joined:
    """Join comparisons under one protocol.

    Raises
    ------
    UsageError
        If they differ in data, markets or, for a seed, in candidates; if a system has other
        settings, or another result for the same seed.
    """
    first, candidates = folders[0], dict[str, str]()
    owner: dict[str, Folder] = {}
    for folder in folders:
        _require_same("data", "fingerprint", first, folder, lambda f: f.table["data"])
        _require_same("markets", "list", first, folder, lambda f: ", ".join(f.table["users"]))
        for seed, found in folder.table["candidates"].items():
            before = owner.setdefault(seed, folder)
            _require_same(
                "candidates", f"hash for seed {seed}", before, folder, _candidate_of(seed)
            )
            candidates[seed] = found
    shared = [set(folder.table["metrics"]) for folder in folders]
    metrics = tuple(m for m in first.table["metrics"] if all(m in own for own in shared))
    if not metrics:
        raise UsageError(f"{_names(folders)} share no metric")
    rows: dict[str, Mapping[str, Any]] = {}
    costs: dict[str, Mapping[str, float]] = {}
    for folder in folders:
        for row in folder.table["systems"]:
            known = rows.setdefault(row["title"], row)
            if any(known[fact] != row[fact] for fact in ("model", "preset", "config")):
                raise UsageError(
                    f"{row['title']!r} has other settings in {folder.path} than in a folder "
                    "before it; give one of them another title"
                )
            if row["title"] in folder.costs:
                by_seed = folder.costs[row["title"]]
                costs.setdefault(row["title"], by_seed[min(by_seed, key=int)])
    frames = [folder.per_user.select(*KEYS, *metrics) for folder in folders]
    values = pl.concat(frames, how="vertical_relaxed").unique()
    twice = values.filter(values.select(KEYS).is_duplicated())
    if twice.height:
        title, seed = twice.sort(KEYS).select("system", "seed").row(0)
        raise UsageError(
            f"{_names(folders)} hold different results of {title!r} for seed {seed}; leave one out"
        )
    ordered = dict(sorted(candidates.items(), key=lambda item: int(item[0])))
    return Joined(tuple(folders), metrics, ordered, rows, costs, values.sort(KEYS))


def _candidate_of(seed: str) -> Callable[[Folder], str]:
    return lambda folder: folder.table["candidates"][seed]


def _require_same(
    what: str, form: str, one: Folder, other: Folder, fact: Callable[[Folder], str]
) -> None:
    if fact(one) != fact(other):
        raise UsageError(
            f"{one.path} and {other.path} are both {one.table['protocol']}, but their {what} "
            f"differ ({form} {fact(one)} and {fact(other)}); make a leaderboard of each"
        )


def _names(folders: Sequence[Folder]) -> str:
    return " and ".join(str(folder.path) for folder in folders)
