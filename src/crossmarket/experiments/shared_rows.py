"""Tables of many results whose rows are the same: what names the rows is kept once for all.

Ids are nine tenths of a per-user table, and every system of a protocol and seed has the same ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossmarket.experiments.kept import read_kept_table
from crossmarket.files import write_atomically


def write_values(table: pl.DataFrame, keys: Sequence[str], file: Path, rows: Path) -> str:
    """Write a table without its key columns, and these to a folder that other tables share.

    Parameters
    ----------
    table : polars.DataFrame
        Any table.
    keys : sequence of str
        String columns that name a row.
    file : Path
        Parquet file of the other columns.
    rows : Path
        Folder of the key columns, a Parquet file for each different content.

    Returns
    -------
    Name of the key columns for `read_values`.
    """
    named = table.select(keys)
    name = hashlib.sha256(named.write_csv().encode()).hexdigest()[:16]
    place = _place(rows, name)
    if not place.is_file():
        write_atomically(place, lambda path: named.write_parquet(path, compression="zstd"))
    values = table.drop(keys)
    write_atomically(file, lambda path: values.write_parquet(path, compression="zstd"))
    return name


def read_values(name: str, file: Path, rows: Path) -> pl.DataFrame:
    """The whole table that `write_values` wrote.

    Raises
    ------
    DataError
        If a part of it is not whole.
    """
    parts = [read_kept_table(_place(rows, name)), read_kept_table(file)]
    return pl.concat(parts, how="horizontal")


def has_values(name: str | None, file: Path, rows: Path) -> bool:
    """Whether both parts of a table are there."""
    return name is not None and file.is_file() and _place(rows, name).is_file()


def _place(rows: Path, name: str) -> Path:
    return rows / f"{name}.parquet"
