"""Mini-batches of random walks with negatives that the pairs of a walk share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmarket.graph.walks import ItemWalks
from crossmarket.training.gathering import RowIndex


@dataclass(frozen=True)
class WalkBatch:
    """Walks of a step.

    Attributes
    ----------
    size : int
        Number of walks n.
    centres : RowIndex of n * length
        Items of the walks.
    contexts : RowIndex of n * (length + negatives)
        Items of each walk, then the items drawn for it.
    """

    size: int
    centres: RowIndex
    contexts: RowIndex


class WalkSampler:
    """Draws the walks of an epoch and their negatives.

    Parameters
    ----------
    walks : ItemWalks
        The walks to draw from.
    walks_per_item : int
        Walks from each item that has neighbours.
    length : int
        Items of a walk.
    num_negatives : int
        Items drawn for each walk.
    negative_power : float
        They are drawn by degree to this power.
    device : str
        Where the tensors live.
    """

    def __init__(
        self,
        walks: ItemWalks,
        walks_per_item: int,
        length: int,
        num_negatives: int,
        negative_power: float,
        device: str = "cpu",
    ) -> None:
        self.walks, self.length, self.num_negatives = walks, length, num_negatives
        self.device = device
        self.starts = np.repeat(np.flatnonzero(walks.degrees), walks_per_item)
        self._cumulated = np.cumsum(walks.degrees.astype(np.float64) ** negative_power)

    def batches(self, size: int, generator: np.random.Generator) -> Iterator[WalkBatch]:
        """Yield every walk once, in batches of `size`."""
        starts = generator.permutation(self.starts)
        for start in range(0, len(starts), size):
            block = starts[start : start + size]
            walks = self.walks.draw(block, self.length, generator)
            yield self.batch(walks, self.draw_negatives(len(walks), generator))

    def draw_negatives(self, count: int, generator: np.random.Generator) -> NDArray[np.int64]:
        """Draw the negatives of some walks, int64 [count, num_negatives]."""
        points = generator.random((count, self.num_negatives)) * self._cumulated[-1]
        drawn: NDArray[np.int64] = np.searchsorted(self._cumulated, points, side="right")
        return drawn

    def batch(self, walks: NDArray[np.int64], negatives: NDArray[np.int64]) -> WalkBatch:
        """Make a batch of walks [n, length] and their negatives [n, num_negatives]."""
        num_items = len(self._cumulated)
        contexts = np.concatenate([walks, negatives], axis=1)
        return WalkBatch(
            len(walks),
            RowIndex.of(walks.ravel(), num_items, self.device),
            RowIndex.of(contexts.ravel(), num_items, self.device),
        )
