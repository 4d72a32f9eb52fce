"""Lists of a whole market as a file: Parquet, CSV that spreadsheets cannot run, TREC runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from crossmarket.artifact.market import Market
from crossmarket.errors import DataError
from crossmarket.files import write_atomically

ExportFormat = Literal["parquet", "csv", "trec"]

SCHEMA = {
    "market": pl.String(),
    "user_id": pl.String(),
    "item_id": pl.String(),
    "score": pl.Float32(),
    "rank": pl.Int32(),
    "strategy": pl.String(),
}

# What a spreadsheet may take for a formula at the start of a cell or of a line in it. Quotes count
# as blanks, so that a guarded cell and one that looks like it stay different.
_RISKY = re.compile(r"^['\s]*[=+\-@\t\r]", re.MULTILINE)


def lists(market: Market, k: int = 10, *, exclude_seen: bool = True) -> pl.DataFrame:
    """The lists of all users, each as `Market.recommend` gives it.

    Returns
    -------
    polars.DataFrame with `market, user_id, item_id, score, rank, strategy`.
    """
    places, scores = [], []
    for user in range(len(market.users)):
        values = market.scores_of(user).astype(np.float32)
        if exclude_seen:
            values[market.seen_by(user)] = -np.inf
        found = market.best(values, k)
        places.append(found[0])
        scores.append(found[1])
    lengths = [len(part) for part in places]
    ids = pl.Series(market.item_ids, dtype=pl.String)
    return pl.DataFrame(
        {
            "market": pl.repeat(market.name, sum(lengths), eager=True, dtype=pl.String),
            "user_id": market.users.take(np.repeat(np.arange(len(lengths)), lengths)),
            "item_id": ids.gather(np.concatenate([np.zeros(0, np.int64), *places])),
            "score": np.concatenate([np.zeros(0, np.float32), *scores]),
            "rank": np.concatenate([np.zeros(0, np.int32), *map(_ranks, lengths)]),
            "strategy": pl.repeat(market.form.strategy, sum(lengths), eager=True, dtype=pl.String),
        },
        schema=SCHEMA,
    )


def write_lists(table: pl.DataFrame, path: Path, kind: ExportFormat, *, guard: bool = True) -> None:
    """Write lists to a file, in one step.

    Parameters
    ----------
    table : polars.DataFrame
        What `lists` gave.
    path : Path
        Where to.
    kind : {"parquet", "csv", "trec"}
        Parquet and CSV hold all columns, a TREC run `user Q0 item rank score tag`.
    guard : bool
        In CSV, put `'` before ids that a spreadsheet would take for a formula; see `guarded`.

    Raises
    ------
    DataError
        If an id has blanks, which a TREC run cannot hold.
    """
    if kind == "csv" and guard:
        ids = [pl.col(name).map_elements(guarded, pl.String) for name in ("user_id", "item_id")]
        table = table.with_columns(ids)
    writers: dict[str, Callable[[Path], None]] = {
        "parquet": table.write_parquet,
        "csv": table.write_csv,
        "trec": lambda place: _write_trec(table, place),
    }
    write_atomically(path, writers[kind])


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; `unguarded` takes it back exactly.

    Cells of which a line starts, after blanks and quotes, with one of `= + - @`, a tab or a
    carriage return get a leading `'`.
    """
    return f"'{cell}" if _RISKY.search(cell) else cell


def unguarded(cell: str) -> str:
    """The cell that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _RISKY.search(cell[1:]) else cell


def _ranks(length: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.arange(1, length + 1, dtype=np.int32)


def _write_trec(table: pl.DataFrame, path: Path) -> None:
    lines = []
    for market, user, item, score, rank, _ in table.iter_rows():
        for name in (user, item):
            if not name or name.split() != [name]:
                raise DataError(f"id {name!r} has blanks, which TREC cannot hold; export as csv")
        lines.append(f"{user} Q0 {item} {rank} {score:.9g} crossmarket-{market}\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
