"""Ids and their rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray


class Vocabulary:
    """An immutable, sorted list of distinct string ids; the position of an id is its row.

    Ids are compared as exact strings (no case folding, no Unicode normalisation) and sorted by
    their UTF-8 bytes, so the rows do not depend on the order in which the ids were met.

    Parameters
    ----------
    ids : iterable of str
        Ids in any order, duplicates allowed.
    """

    def __init__(self, ids: Iterable[str] | pl.Series) -> None:
        series = ids if isinstance(ids, pl.Series) else pl.Series(list(ids), dtype=pl.String)
        self._ids = series.cast(pl.String).unique().sort().alias("id")

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, value: object) -> bool:
        return value in self._rows

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self._ids.equals(other._ids)

    def __hash__(self) -> int:
        return hash((len(self), self._ids.hash().sum() if len(self) else 0))

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} ids)"

    @property
    def ids(self) -> pl.Series:
        """All ids in row order (String series)."""
        return self._ids

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self._ids.to_list())}

    def row(self, name: str) -> int:
        """Row of an id; -1 where it is unknown."""
        return self._rows.get(name, -1)

    def rows(self, ids: Sequence[str] | pl.Series) -> NDArray[np.int32]:
        """Rows of the given ids.

        Returns
        -------
        int32 array, one per id; -1 where the id is unknown.
        """
        known = self._rows
        return np.fromiter((known.get(name, -1) for name in ids), dtype=np.int32, count=len(ids))

    def take(self, rows: NDArray[np.integer]) -> list[str]:
        """Ids at the given rows, in the order given."""
        return self._ids.gather(pl.Series(np.asarray(rows, dtype=np.int64))).to_list()
