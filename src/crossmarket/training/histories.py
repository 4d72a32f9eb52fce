"""Users' interactions as padded sequences of items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap

#: Batches that are sorted by length together: enough for little padding, few enough to mix users.
_CHUNK_BATCHES = 32


@dataclass(frozen=True)
class Histories:
    """What each user interacted with, oldest first; equal times in the order of item rows.

    Attributes
    ----------
    offsets : int64 [num_users + 1]
        User n owns `items[offsets[n]:offsets[n + 1]]`.
    items : int64 [interactions]
        Positions of the items among the item nodes.
    pad : int
        Number of item nodes: what fills a sequence up.
    """

    offsets: NDArray[np.int64]
    items: NDArray[np.int64]
    pad: int

    @classmethod
    def of(
        cls,
        dataset: MarketDataset,
        nodes: NodeMap,
        markets: Sequence[str],
        *,
        ties: np.random.Generator | None = None,
    ) -> Histories:
        """Histories of all user nodes; users of other markets than `markets` have none.

        With `ties`, items of equal times come in a random order. A network that learns from
        positions needs that: from the order of rows it would tell what lies between two items.
        """
        users, items = nodes.edges_of(dataset, markets)
        times = np.concatenate([dataset.edges(market).timestamps for market in markets])
        last = items if ties is None else ties.random(len(items))
        order = np.lexsort((last, times, users))
        return cls._grouped(users[order], items[order] - nodes.num_users, nodes)

    @classmethod
    def of_matrix(cls, matrix: csr_array, nodes: NodeMap) -> Histories:
        """Histories of bare rows over the item vocabulary, in the order of item rows."""
        known = matrix.tocsr()[:, nodes.items].sorted_indices()
        return cls(known.indptr.astype(np.int64), known.indices.astype(np.int64), len(nodes.items))

    @classmethod
    def _grouped(
        cls, users: NDArray[np.int64], items: NDArray[np.int64], nodes: NodeMap
    ) -> Histories:
        offsets = np.zeros(nodes.num_users + 1, dtype=np.int64)
        np.cumsum(np.bincount(users, minlength=nodes.num_users), out=offsets[1:])
        return cls(offsets, items, len(nodes.items))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Interactions of each user, int64 [num_users]."""
        return np.diff(self.offsets)

    def thinned(self, max_length: int, generator: np.random.Generator) -> Histories:
        """Keep a random `max_length` items of each longer history, in their order."""
        users = np.repeat(np.arange(len(self.lengths)), self.lengths)
        _, items = _thinned(users, self.items, len(self.lengths), max_length, generator)
        offsets = np.concatenate([[0], np.cumsum(np.minimum(self.lengths, max_length))])
        return Histories(offsets, items, self.pad)

    def padded(
        self,
        users: NDArray[np.integer],
        max_length: int,
        *,
        without: NDArray[np.integer] | None = None,
        generator: np.random.Generator | None = None,
    ) -> Tensor:
        """Histories of some users, aligned to the right and filled with `pad` on the left.

        Parameters
        ----------
        users : int [n]
            Users, repeats allowed.
        max_length : int
            Most items of a history; of longer ones the newest are kept.
        without : int [n], optional
            Position of an item that is left out of each history: a candidate must not be part
            of the history it is asked about.
        generator : numpy.random.Generator, optional
            Keep a random draw of longer histories instead of the newest.

        Returns
        -------
        int64 [n, length of the longest], at least one column.
        """
        sizes = self.lengths[users]
        row = np.repeat(np.arange(len(users)), sizes)
        place = np.arange(len(row)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        items = self.items[np.repeat(self.offsets[users], sizes) + place]
        if without is not None:
            kept = items != without[row]
            row, items = row[kept], items[kept]
        if generator is not None:
            row, items = _thinned(row, items, len(users), max_length, generator)
        counts = np.bincount(row, minlength=len(users))
        # Counted from the newest, so that the newest stands in the last column.
        back = np.repeat(np.cumsum(counts), counts) - np.arange(len(row))
        width = int(min(counts.max(initial=1), max_length)) or 1
        kept = back <= width
        sequences = np.full((len(users), width), self.pad, dtype=np.int64)
        sequences[row[kept], width - back[kept]] = items[kept]
        return torch.from_numpy(sequences)


def _thinned(
    row: NDArray[np.int64],
    items: NDArray[np.int64],
    num_rows: int,
    max_length: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Keep a random `max_length` of each row, in their order."""
    order = np.lexsort((generator.random(len(row)), row))
    counts = np.bincount(row, minlength=num_rows)
    rank = np.empty(len(row), dtype=np.int64)
    rank[order] = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    return row[rank < max_length], items[rank < max_length]


def batches_by_length(
    lengths: NDArray[np.integer], size: int, generator: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Cut shuffled rows into batches of rows of similar length.

    Parameters
    ----------
    lengths : int [n]
        Length of each row.
    size : int
        Rows of a batch.
    generator : numpy.random.Generator
        Decides which rows meet, and the order of the batches.
    """
    order = generator.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), size * _CHUNK_BATCHES):
        chunk = order[start : start + size * _CHUNK_BATCHES]
        chunk = chunk[np.argsort(lengths[chunk], kind="stable")]
        batches += [chunk[at : at + size] for at in range(0, len(chunk), size)]
    for place in generator.permutation(len(batches)):
        yield batches[place]
