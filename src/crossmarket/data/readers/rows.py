"""Reading one input file into checked rows."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from crossmarket.data.accounting import REJECTED_SCHEMA, TEXT_LIMIT, Reason
from crossmarket.data.readers.columns import ColumnMap, resolve_columns
from crossmarket.data.readers.formats import Source
from crossmarket.data.readers.parquet import ParquetTable
from crossmarket.data.readers.text import TextTable
from crossmarket.data.readers.values import TimeUnit, check_rows
from crossmarket.errors import DataError

_ROW_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.UInt32(),
    "part": pl.String(),
    "market": pl.String(),
    "user": pl.String(),
    "item": pl.String(),
    "weight": pl.Float32(),
    "timestamp": pl.Int64(),
}


@dataclass(frozen=True)
class RowRules:
    """What decides whether a row is used: see `read_data`."""

    columns: ColumnMap
    min_weight: float | None
    time_unit: TimeUnit


class FileRows(NamedTuple):
    """Rows of one file.

    Attributes
    ----------
    usable : polars.DataFrame
        Rows to build a data set from, as `assemble` takes them.
    rejected : polars.DataFrame
        The others, with the columns of `REJECTED_SCHEMA`.
    low_markets : set of str
        Markets of the rows rejected for their low weight only.
    num_rows : int
        Both together.
    sha256 : str
        Hash of the bytes that the rows came from.
    """

    usable: pl.DataFrame
    rejected: pl.DataFrame
    low_markets: set[str]
    num_rows: int
    sha256: str


def read_file(source: Source, position: int, rules: RowRules) -> FileRows:
    """Read one file.

    Parameters
    ----------
    source : Source
        The file.
    position : int
        Its position among the files of the read.
    rules : RowRules
        What makes a row usable.

    Raises
    ------
    DataError
        If the file cannot be read, is no table, or has no data rows.
    """
    where = str(source.path)
    try:
        if not stat.S_ISREG(source.path.stat().st_mode):
            raise DataError(f"{where} is not a regular file; name a file of interactions")
        with source.path.open("rb") as handle:
            if source.dialect is None:
                table: TextTable | ParquetTable = ParquetTable(handle, where)
            else:
                table = TextTable(handle, source.dialect, where)
            roles = resolve_columns(
                table.header, rules.columns, market_known=source.market is not None, where=where
            )
            if source.part_column is not None:
                roles["part"] = source.part_column
            blocks = table.rows(roles)
            usable, rejected, low_markets, num_rows = _check(
                [blocks] if isinstance(blocks, pl.DataFrame) else blocks, source, position, rules
            )
    except OSError as error:
        raise DataError(f"cannot read {where}: {error.strerror or error}") from error
    if num_rows == 0:
        raise DataError(f"{where} has a header but no rows; leave the file out or fill it")
    return FileRows(usable, rejected, low_markets, num_rows, table.sha256)


def _check(
    blocks: Iterable[pl.DataFrame], source: Source, position: int, rules: RowRules
) -> tuple[pl.DataFrame, pl.DataFrame, set[str], int]:
    usable = [pl.DataFrame(schema=_ROW_SCHEMA)]
    rejected = [pl.DataFrame(schema=REJECTED_SCHEMA)]
    low_markets: set[str] = set()
    num_rows = 0
    for block in blocks:
        constants = {"file": pl.lit(position, dtype=pl.UInt32)}
        if "market" not in block.columns:
            constants["market"] = pl.lit(source.market)
        if "part" not in block.columns:
            constants["part"] = pl.lit(source.part, dtype=pl.String)
        checked = check_rows(
            block.with_columns(**constants), min_weight=rules.min_weight, time_unit=rules.time_unit
        )
        num_rows += len(checked)
        fine = checked["reason"].is_null()
        usable.append(checked.filter(fine).select(*_ROW_SCHEMA))
        if fine.all():
            continue
        others = checked.filter(~fine).with_columns(
            pl.lit(source.name).alias("file"), pl.col("text").str.slice(0, TEXT_LIMIT)
        )
        rejected.append(others.select(*REJECTED_SCHEMA))
        low = others.filter(pl.col("reason") == Reason.BELOW_MIN_WEIGHT.value)
        low_markets.update(low["market"].unique())
    return pl.concat(usable), pl.concat(rejected).sort("line"), low_markets, num_rows
