"""Titles of items, from a table that a shop exports, for people who look at lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from crossmarket.errors import DataError

#: Titles by market and item id.
Titles = Mapping[str, Mapping[str, str]]

#: Longer titles are cut; lists show them on one line.
LONGEST = 300
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_ALL = {"market", "item_id", "title"}
_NEEDED = _ALL - {"market"}


def read_titles(path: Path, markets: Sequence[str]) -> Titles:
    """Read a table of titles.

    Parameters
    ----------
    path : Path
        A .csv, .tsv or .parquet file with columns `item_id`, `title` and, where titles differ
        between markets, `market`; others are not read. Runs of blanks become one, other control
        characters and what is longer than `LONGEST` characters goes, an empty title is none.
    markets : sequence of str
        Markets that get them: each its own, or all the same.

    Returns
    -------
    Titles by market and item id; items that nobody knows do no harm.

    Raises
    ------
    DataError
        If the file cannot be read, lacks a column, or titles an item twice.
    """
    table = _read(path)
    missing = _NEEDED - set(table.columns)
    if missing:
        raise DataError(f"{path} has no column {min(missing)!r}; it needs item_id and title")
    table = table.select(sorted(_ALL & set(table.columns))).cast(pl.String).drop_nulls()
    table = table.with_columns(title=pl.col("title").map_elements(one_line, pl.String))
    table = table.filter(pl.col("title") != "")
    keys = [name for name in ("market", "item_id") if name in table.columns]
    twice = table.filter(table.select(keys).is_duplicated())
    if not twice.is_empty():
        raise DataError(f"{path} has two titles of item {twice['item_id'][0]!r}; keep one")
    return {market: _of_market(table, market) for market in markets}


def one_line(title: str) -> str:
    """A title without line breaks, control characters and what nobody would read."""
    words = "".join(letter if letter.isprintable() else " " for letter in title).split()
    return " ".join(words)[:LONGEST].rstrip()


def _read(path: Path) -> pl.DataFrame:
    kind = path.suffix.lower()
    if kind not in {*_SEPARATORS, ".parquet"} or not path.is_file():
        raise DataError(f"{path} is no .csv, .tsv or .parquet file; titles come in one of these")
    try:
        if kind == ".parquet":
            return pl.read_parquet(path, glob=False)
        quote = '"' if kind == ".csv" else None
        return pl.read_csv(
            path, separator=_SEPARATORS[kind], quote_char=quote, infer_schema=False, glob=False
        )
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as a table ({reason})") from error


def _of_market(table: pl.DataFrame, market: str) -> dict[str, str]:
    if "market" in table.columns:
        table = table.filter(pl.col("market") == market)
    return dict(table.select("item_id", "title").iter_rows())
