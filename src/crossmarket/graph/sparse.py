"""Products of a fixed sparse matrix and a table that is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, slots=True)
class SparseRows:
    """A matrix in compressed rows.

    Attributes
    ----------
    offsets : int64 [num_rows + 1]
        Row n owns the entries `offsets[n]:offsets[n + 1]`.
    columns : int64 [entries]
        Column of each entry.
    values : float32 [entries]
        Value of each entry.
    """

    offsets: Tensor
    columns: Tensor
    values: Tensor

    @classmethod
    def of(cls, matrix: csr_array, device: str | torch.device) -> SparseRows:
        """Copy a matrix to a device."""
        dtypes = (np.int64, np.int64, np.float32)
        parts = (matrix.indptr, matrix.indices, matrix.data)
        arrays = (part.astype(dtype) for part, dtype in zip(parts, dtypes, strict=True))
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def product(self, table: Tensor) -> Tensor:
        """Multiply with a table [num_columns, d], without gradient tracking."""
        return F.embedding_bag(
            self.columns,
            table,
            self.offsets,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )


@dataclass(frozen=True, slots=True)
class SparseMatrix:
    """A matrix and its transpose, which is what the gradient of a product needs."""

    rows: SparseRows
    transposed: SparseRows

    @classmethod
    def of(cls, matrix: csr_array, device: str | torch.device) -> SparseMatrix:
        """Prepare a matrix for products on a device."""
        rows = SparseRows.of(matrix.tocsr(), device)
        return cls(rows, SparseRows.of(matrix.T.tocsr(), device))

    def __matmul__(self, table: Tensor) -> Tensor:
        """Multiply with a table, float32 [num_columns, d], differentiably."""
        return cast(Tensor, _Product.apply(table, self))  # type: ignore[no-untyped-call]


class _Product(torch.autograd.Function):
    # The built-in gradients of sparse products and of embedding_bag are many times slower.
    @staticmethod
    def forward(ctx: Any, table: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.transposed = matrix.transposed
        return matrix.rows.product(table.contiguous())

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return ctx.transposed.product(grads[0].contiguous()), None


def normalise_rows(matrix: csr_array) -> csr_array:
    """Divide each row by its sum; empty rows stay empty. Entries must not be negative."""
    rows = matrix.tocsr().copy()
    sums = np.asarray(rows.sum(axis=1)).ravel()
    rows.data = rows.data / np.repeat(sums, np.diff(rows.indptr))
    return rows
