"""A history times an item-item matrix, dense or sparse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crossmarket.artifact.forms.base import (
    Floats,
    Form,
    MarketShape,
    Place,
    Rows,
    fact,
    places_in,
    take_rows,
)
from crossmarket.artifact.tensors import Arrays, Tensors
from crossmarket.errors import DataError


@dataclass(frozen=True)
class SparseWeights:
    """An item-item matrix in compressed rows.

    Attributes
    ----------
    offsets : int64 [n + 1]
        Row r owns the entries `offsets[r]:offsets[r + 1]`.
    columns : int32 [entries]
        Column of each entry.
    values : float32 [entries]
        Value of each entry.
    """

    offsets: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Floats

    def sum_rows(self, rows: Rows) -> Floats:
        """Sum of some rows, float32 [n]."""
        total = np.zeros(len(self.offsets) - 1, dtype=np.float32)
        for row in rows:
            entries = slice(self.offsets[row], self.offsets[row + 1])
            total[self.columns[entries]] += self.values[entries]
        return total


@dataclass(frozen=True)
class ItemItemForm(Form):
    """The score of an item is the sum of its weights in the rows of the history's items.

    Attributes
    ----------
    catalogue : int32 [m]
        Item rows that the market sells.
    rows : int32 [n]
        Sorted item rows that the matrix knows.
    weights : float32 [n, n] or SparseWeights
        The matrix; a row is what an item of the history says of each item.
    shared : bool
        Whether all markets have the same matrix.
    """

    kind: ClassVar[str] = "item-item"
    catalogue: NDArray[np.int32]
    rows: NDArray[np.int32]
    weights: Floats | SparseWeights
    shared: bool

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        return places_in(self.rows, self.catalogue)

    def facts(self) -> dict[str, Any]:
        """Whether the matrix is shared, and how it is stored."""
        return {"shared": self.shared, "sparse": isinstance(self.weights, SparseWeights)}

    def tensors(self) -> dict[Place, Arrays]:
        """The matrix, in the backbone where all markets share it."""
        arrays: dict[str, NDArray[Any]] = {"rows": self.rows}
        if isinstance(self.weights, SparseWeights):
            arrays |= vars(self.weights)
        else:
            arrays["weights"] = self.weights
        return {"backbone" if self.shared else "items": arrays}

    @classmethod
    def restore(
        cls, facts: Mapping[str, Any], files: Mapping[Place, Tensors], market: MarketShape
    ) -> Self:
        """Take the matrix out of the backbone's file or the market's."""
        shared = fact(facts, "shared", (True, False))
        file = files["backbone" if shared else "items"]
        rows = take_rows(file, "rows", market.num_items)
        size = len(rows)
        weights: Floats | SparseWeights
        if fact(facts, "sparse", (True, False)):
            offsets = file.take("offsets", np.int64, (size + 1,))
            columns = file.take("columns", np.int32, (None,))
            values = file.take("values", np.float32, (len(columns),))
            ends = np.concatenate([[0], offsets, [len(columns)]])
            if offsets[0] or offsets[-1] != len(columns) or np.any(np.diff(ends) < 0):
                raise DataError(f"{file.place}: 'offsets' do not cut the entries into rows")
            if len(columns) and (columns.min() < 0 or columns.max() >= size):
                raise DataError(f"{file.place}: 'columns' are not columns of the matrix")
            owner = np.repeat(np.arange(size), np.diff(offsets))
            if np.any(np.diff(owner * size + columns) <= 0):
                raise DataError(f"{file.place}: 'columns' do not ascend within a row")
            weights = SparseWeights(offsets, columns, values)
        else:
            weights = file.take("weights", np.float32, (size, size))
        return cls(market.catalogue, rows, weights, shared)

    def score_user(self, user: int, history: Rows) -> Floats:
        """A user is its history; without any all scores are 0."""
        scores = self.score_history(history)
        return np.zeros(len(self.catalogue), dtype=np.float32) if scores is None else scores

    def score_history(self, history: Rows) -> Floats | None:
        """Sum the rows of the history's items."""
        places = places_in(self.rows, history)
        known = places[places >= 0]
        return self._of_catalogue(known) if len(known) else None

    def score_like(self, item: int) -> Floats | None:
        """The item's own row."""
        return self.score_history(self.catalogue[item : item + 1])

    def _of_catalogue(self, known: Rows) -> Floats:
        if isinstance(self.weights, SparseWeights):
            total = self.weights.sum_rows(known)
        else:
            total = self.weights[known].sum(axis=0)
        # An item that the matrix does not know has no weights: its score is 0.
        return np.where(self._places < 0, np.float32(0), total[self._places])


def compact(weights: Floats | SparseWeights) -> Floats | SparseWeights:
    """The form of a matrix that takes fewer bytes."""
    if isinstance(weights, SparseWeights):
        size = len(weights.offsets) - 1
        if _sparse_bytes(size, len(weights.values)) < 4 * size * size:
            return weights
        dense = np.zeros((size, size), dtype=np.float32)
        owner = np.repeat(np.arange(size), np.diff(weights.offsets))
        dense[owner, weights.columns] = weights.values
        return dense
    if _sparse_bytes(len(weights), int(np.count_nonzero(weights))) >= weights.nbytes:
        return weights
    rows, columns = np.nonzero(weights)
    counts = np.bincount(rows, minlength=len(weights))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return SparseWeights(offsets, columns.astype(np.int32), weights[rows, columns])


def _sparse_bytes(size: int, entries: int) -> int:
    return 8 * (size + 1) + 8 * entries
