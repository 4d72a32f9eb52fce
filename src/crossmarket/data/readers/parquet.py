"""Reading Parquet tables as rows of unchecked fields."""

from __future__ import annotations

import hashlib
import io
from typing import IO

import polars as pl
from polars.exceptions import PolarsError

from crossmarket.errors import DataError

_IDS = ("market", "part", "user", "item")


class ParquetTable:
    """A Parquet table held in memory.

    Parameters
    ----------
    handle : binary file
        The open file.
    where : str
        The file, for messages.

    Attributes
    ----------
    header : list of str
        Column names.
    sha256 : str
        SHA-256 (hex) of the file.
    """

    def __init__(self, handle: IO[bytes], where: str) -> None:
        content = handle.read()
        self.sha256 = hashlib.sha256(content).hexdigest()
        self._where = where
        if not content:
            raise DataError(f"{where} is empty; it needs columns and rows")
        try:
            self._frame = pl.read_parquet(io.BytesIO(content))
        except PolarsError as error:
            raise DataError(f"{where} is not a readable Parquet file ({error})") from error
        self.header = self._frame.columns

    def rows(self, roles: dict[str, str]) -> pl.DataFrame:
        """Return all rows.

        Parameters
        ----------
        roles : mapping of str to str
            New column name to the name in the file.

        Returns
        -------
        A table with `line` (Int64, the 1-based row), `text` (the fields joined by commas), one
        column per role (ids as String) and `reason` (String, null).

        Raises
        ------
        DataError
            If a column's type cannot hold what its role needs.
        """
        columns = [self._column(role, name) for role, name in roles.items()]
        frame = pl.DataFrame(columns)
        fields = [pl.col(role).cast(pl.String).fill_null("") for role in roles]
        return frame.with_columns(
            pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("line"),
            pl.concat_str(fields, separator=",").alias("text"),
            pl.lit(None, dtype=pl.String).alias("reason"),
        )

    def _column(self, role: str, name: str) -> pl.Series:
        values = self._frame[name].alias(role)
        dtype = values.dtype
        textual = dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum)
        if role in _IDS:
            if textual or dtype.is_integer():
                return values.cast(pl.String)
            raise DataError(
                f"{self._where} holds column {name!r} ({role}) as {dtype}; ids must be text or "
                "integers: cast the column first"
            )
        if dtype.is_nested() or dtype in (pl.Binary, pl.Object):
            raise DataError(
                f"{self._where} holds column {name!r} ({role}) as {dtype}; it must be numbers or "
                "text: cast the column first"
            )
        return values.cast(pl.String) if textual or dtype in (pl.Boolean, pl.Null) else values
