"""Files of earlier results: read, or one sentence that says what to remove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.errors import DataError
from crossmarket.files import read_json


def read_kept_record(file: Path) -> dict[str, Any]:
    """A JSON object that this package wrote.

    Raises
    ------
    DataError
        If the file is not one.
    """
    try:
        return dict(read_json(file))
    except (ValueError, TypeError) as error:
        raise not_whole(file) from error


def read_kept_table(file: Path) -> pl.DataFrame:
    """A Parquet table that this package wrote.

    Raises
    ------
    DataError
        If the file is not one.
    """
    try:
        return pl.read_parquet(file, glob=False)
    except pl.exceptions.PolarsError as error:
        raise not_whole(file) from error


def not_whole(file: Path) -> DataError:
    """The error of a file that is not as it was written."""
    return DataError(f"{file} is not whole; remove it and repeat the command that wrote it")
