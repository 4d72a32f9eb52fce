"""Tables of an artifact: Parquet with exactly the columns and the order that were written."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError

USERS = {"user_id": pl.String()}
ITEMS = {"item_id": pl.String()}
#: Rows of users and of catalogue items; whether training saw the pair.
SEEN = {"user": pl.Int32(), "item": pl.Int32(), "learned": pl.Boolean()}
POPULAR = {"item": pl.Int32(), "count": pl.Int32()}
#: Rows of the catalogue that have a title.
TITLES = {"item": pl.Int32(), "title": pl.String()}

# Rows are distinct and stored plain, so a byte cannot hold more; a small file that claims millions
# of rows is refused before they are made.
_ROWS_PER_BYTE = 8


def table_bytes(frame: pl.DataFrame) -> bytes:
    """Render a table as Parquet; the same table gives the same bytes."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="uncompressed", statistics=False)
    return buffer.getvalue()


def read_table(content: bytes, schema: Mapping[str, pl.DataType], place: str) -> pl.DataFrame:
    """Read a table that has these columns and no null.

    Raises
    ------
    DataError
        If it is anything else.
    """
    try:
        lazy = pl.scan_parquet(io.BytesIO(content), glob=False)
        wrong = dict(lazy.collect_schema()) != dict(schema)
        rows = 0 if wrong else int(lazy.select(pl.len()).collect().item())
        if not wrong and rows <= _ROWS_PER_BYTE * len(content):
            frame = lazy.collect()
            if frame.height == rows and not sum(frame.null_count().row(0)):
                return frame
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise DataError(f"{place} is no table that can be read ({error})") from error
    raise DataError(f"{place} is not the table that an artifact has there")


def read_ids(content: bytes, schema: Mapping[str, pl.DataType], place: str) -> Vocabulary:
    """Read distinct ids in the order of their rows.

    Raises
    ------
    DataError
        If they are not sorted, or one comes twice.
    """
    column = read_table(content, schema, place).to_series()
    ids = Vocabulary(column)
    if not ids.ids.equals(column):
        raise DataError(f"{place}: the ids are not distinct and in order")
    return ids


def popularity(items: NDArray[np.int32], num_items: int) -> pl.DataFrame:
    """Interactions of each item that has any, most first, ties in item order."""
    counts = np.bincount(items, minlength=num_items).astype(np.int32)
    order = np.argsort(-counts, kind="stable").astype(np.int32)
    order = order[counts[order] > 0]
    return pl.DataFrame({"item": order, "count": counts[order]}, schema=POPULAR)
