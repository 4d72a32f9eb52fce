"""Mini-batches of positives with negatives from each user's own market."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap

_MAX_REDRAWS = 20


@dataclass(frozen=True)
class Batch:
    """Positives of a step, ordered by market, as nodes of a graph.

    Attributes
    ----------
    users, items : int64 [B]
        User node and item node of each positive.
    bounds : list of (start, end, market position)
        Runs of positives that belong to one market.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    bounds: list[tuple[int, int, int]]


class PositiveSampler:
    """Training interactions of some markets, shuffled together each epoch.

    Parameters
    ----------
    train : MarketDataset
        Training part.
    nodes : NodeMap
        Node numbering.
    markets : sequence of str, optional
        Markets to sample from; all markets of `nodes` by default.
    """

    def __init__(
        self, train: MarketDataset, nodes: NodeMap, markets: Sequence[str] | None = None
    ) -> None:
        self.nodes = nodes
        names = nodes.markets if markets is None else markets
        self.users, self.items = nodes.edges_of(train, names)
        counts = [len(train.edges(market)) for market in names]
        self.markets = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        self.pools = [nodes.item_nodes(train.catalogue(market), market) for market in names]
        self._pairs = np.sort(self.users * nodes.num_nodes + self.items)

    def __len__(self) -> int:
        return len(self.users)

    def batches(self, size: int, generator: np.random.Generator) -> Iterator[Batch]:
        """Yield every positive once, in batches of `size`."""
        order = generator.permutation(len(self))
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])

    def batch(self, picked: NDArray[np.int64]) -> Batch:
        """Make a batch of chosen positives (places among `users` and `items`)."""
        picked = picked[np.argsort(self.markets[picked], kind="stable")]
        present, firsts = np.unique(self.markets[picked], return_index=True)
        ends = [*firsts[1:].tolist(), len(picked)]
        bounds = list(zip(firsts.tolist(), ends, present.tolist(), strict=True))
        return Batch(self.users[picked], self.items[picked], bounds)

    def is_positive(self, users: NDArray[np.int64], items: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each (user node, item node) is a training interaction; shapes broadcast."""
        pairs = users * self.nodes.num_nodes + items
        at = np.searchsorted(self._pairs, pairs)
        return np.asarray(self._pairs[np.minimum(at, len(self._pairs) - 1)] == pairs)

    def draw_unseen(
        self,
        users: NDArray[np.int64],
        pool: NDArray[np.int64],
        count: int,
        generator: np.random.Generator,
    ) -> NDArray[np.int64]:
        """Draw items uniformly from `pool` minus each user's training items.

        Returns
        -------
        int64 [len(users), count]. A user who has nearly the whole pool keeps a seen item after
        20 redraws, so the draw always ends.
        """
        drawn = pool[generator.integers(len(pool), size=(len(users), count))]
        for _ in range(_MAX_REDRAWS):
            rows, columns = np.nonzero(self.is_positive(users[:, None], drawn))
            if not len(rows):
                break
            drawn[rows, columns] = pool[generator.integers(len(pool), size=len(rows))]
        return drawn

    def pairwise(
        self, batch: Batch, count: int, generator: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw `count` unseen items of the user's market for each positive, int64 [B, count]."""
        parts = [
            self.draw_unseen(batch.users[start:end], self.pools[market], count, generator)
            for start, end, market in batch.bounds
        ]
        return np.concatenate(parts)

    def shared(
        self, batch: Batch, count: int, generator: np.random.Generator
    ) -> Mapping[int, NDArray[np.int64]]:
        """Draw `count` items of each market of the batch (seen or not), shared by its users."""
        return {
            market: self.pools[market][generator.integers(len(self.pools[market]), size=count)]
            for _, _, market in batch.bounds
        }
