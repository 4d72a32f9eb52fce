"""The steps of DCCDR: positives of both domains and the items they share, and their loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes
from crossmarket.models.dccdr.config import DCCDRConfig
from crossmarket.models.dccdr.network import DCCDRNetwork, contrast
from crossmarket.models.tables import PairBatch, PairObjective
from crossmarket.training.examples import endless
from crossmarket.training.gathering import RowIndex, gather
from crossmarket.training.sampling import PositiveSampler


@dataclass(frozen=True)
class DualBatch:
    """Positives of both domains, and the shared items among them.

    Attributes
    ----------
    pairs : PairBatch
        Positives, as many of each domain, with their negatives.
    shared : RowIndex
        Nodes of n shared items in the target, then of the same items in the sources.
    """

    pairs: PairBatch
    shared: RowIndex


class DualDomains:
    """Draws steps over the target and its sources.

    Parameters
    ----------
    nodes : DomainNodes
        Nodes; the target is the first market.
    train : MarketDataset
        Training part.
    config : DCCDRConfig
        Sizes of a step.
    device : str
        Where tensors live.
    """

    def __init__(
        self, nodes: DomainNodes, train: MarketDataset, config: DCCDRConfig, device: str
    ) -> None:
        self.nodes, self.config, self.device = nodes, config, device
        self.sampler = PositiveSampler(train, nodes)
        self.objective = PairObjective(config, self.sampler, device)
        own = self.sampler.markets == 0
        self.target, self.source = np.flatnonzero(own), np.flatnonzero(~own)
        self.num_domains = (len(self.target) > 0) + (len(self.source) > 0)
        first, second = (np.unique(self.sampler.items[part]) for part in (self.target, self.source))
        #: Nodes of the items that have training edges in both domains, int64 [2, shared].
        self.shared = self._aligned(first, second)
        self._place = np.full(nodes.num_nodes, -1)
        self._place[self.shared] = np.arange(self.shared.shape[1])

    def _aligned(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        left_items, right_items = (
            self.nodes.items[part - self.nodes.num_users] for part in (first, second)
        )
        _, left, right = np.intersect1d(left_items, right_items, True, return_indices=True)
        return np.stack([first[left], second[right]])

    def batches(self, generator: np.random.Generator) -> Iterator[DualBatch]:
        """Yield every positive of the larger domain once, and as many of the other."""
        parts = [part for part in (self.target, self.source) if len(part)]
        length = max(map(len, parts), default=0)
        order = [endless(part, length, generator) for part in parts]
        for start in range(0, length, self.config.batch_size):
            rows = slice(start, start + self.config.batch_size)
            batch = self.sampler.batch(np.concatenate([part[rows] for part in order]))
            pairs = self.objective.prepare(batch, generator)
            places = np.unique(self._place[batch.items])
            places = places[places >= 0]
            if len(places) > self.config.contrast_items:
                places = generator.choice(places, self.config.contrast_items, replace=False)
            shared = self.shared[:, places].ravel()
            yield DualBatch(pairs, RowIndex.of(shared, self.nodes.num_nodes, self.device))

    def losses(self, network: DCCDRNetwork, batch: DualBatch) -> dict[str, Tensor]:
        """Ranking loss of each domain, and the contrast of the shared items."""
        vectors, last = network.layers()
        # Both domains have as many positives, so the sum of their means is twice the mean.
        ranking = self.num_domains * self.objective.penalised(vectors, network.table, batch.pairs)
        if self.config.alpha == 0:
            return {"loss": ranking}
        target, source = gather(last, batch.shared).tensor_split(2)
        apart = contrast(target, source, self.config.contrast_temperature)
        return {"loss": ranking + self.config.alpha * apart, "ranking": ranking, "contrast": apart}
