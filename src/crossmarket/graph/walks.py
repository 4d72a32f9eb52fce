"""Random walks over items that share users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap


def stacked_matrix(train: MarketDataset, nodes: NodeMap) -> csr_array:
    """Users of all markets of a node map x its items, binary, float32."""
    return vstack([train.matrix(market) for market in nodes.markets]).tocsr()[:, nodes.items]


def co_occurrence(matrix: csr_array) -> csr_array:
    """Number of users that any two items share, `X^T X` without its diagonal, int64."""
    counts = matrix.astype(np.int64)
    shared = (counts.T @ counts).tocsr()
    shared.setdiag(0)
    shared.eliminate_zeros()
    return shared


@dataclass(frozen=True)
class ItemWalks:
    """Walks whose next item is drawn in proportion to the users it shares with the last one.

    Attributes
    ----------
    offsets : int64 [num_items + 1]
        Item i owns `neighbours[offsets[i]:offsets[i + 1]]`.
    neighbours : int32 [sum of all counts]
        Each neighbour once for every shared user, so that a uniform draw is a weighted one.
    """

    offsets: NDArray[np.int64]
    neighbours: NDArray[np.int32]

    @classmethod
    def of(cls, shared: csr_array) -> ItemWalks:
        """Prepare walks over counts of shared users, int [items, items]."""
        sums = np.concatenate([[0], np.cumsum(shared.data)])
        neighbours = np.repeat(shared.indices.astype(np.int32), shared.data)
        return cls(sums[shared.indptr], neighbours)

    @property
    def degrees(self) -> NDArray[np.int64]:
        """Sum of the counts of each item, int64 [num_items]."""
        return np.diff(self.offsets)

    def draw(
        self, starts: NDArray[np.integer], length: int, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Walk from each start; all walks take a step at a time.

        Parameters
        ----------
        starts : int [n]
            First items; each must have a neighbour.
        length : int
            Items of a walk, the start included.

        Returns
        -------
        int64 [n, length]
        """
        walks = np.empty((len(starts), length), dtype=np.int64)
        walks[:, 0] = starts
        degrees = self.degrees
        for step in range(1, length):
            last = walks[:, step - 1]
            walks[:, step] = self.neighbours[self.offsets[last] + generator.integers(degrees[last])]
        return walks
