"""Every prefix of every sequence with the item that follows it: the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.cat_sr.network import CatSRNetwork, CatSRNetworkConfig
from crossmarket.models.full_softmax import full_softmax
from crossmarket.training.histories import Histories, batches_by_length


@dataclass(frozen=True)
class Prefixes:
    """Sequences of users of one market; each item but the last ends a prefix.

    Attributes
    ----------
    sequences : int64 [n, L]
        Positions of items, padded on the left; what is read.
    places : int64 [m]
        Flat positions of the items that end a prefix.
    targets : int64 [m]
        Place among `items` of what follows.
    items : int64 [c]
        Positions of the items of the market.
    weights : float32 [m]
        Weight of each prefix.
    """

    sequences: Tensor
    places: Tensor
    targets: Tensor
    items: Tensor
    weights: Tensor

    def losses(self, network: CatSRNetwork) -> dict[str, Tensor]:
        """Cross entropy of what follows among the market's items, weighted mean."""
        encoded = network.encode(self.sequences).flatten(0, 1).index_select(0, self.places)
        table = network.output()[0].index_select(0, self.items)
        return {"loss": full_softmax(encoded, table, self.targets, weights=self.weights)}


def rarity_weights(counts: NDArray[np.integer], offset: float, slope: float) -> NDArray[np.float32]:
    """Weight of each item as a target, `offset - tanh(slope * (count - 1))`; rare ones weigh most.

    An item that was never bought counts as bought once.
    """
    weights = offset - np.tanh(slope * (np.maximum(counts, 1) - 1))
    return np.asarray(weights, dtype=np.float32)


class PrefixSampler:
    """Draws an epoch of sequences; items of equal times in a new order each time.

    Parameters
    ----------
    train : MarketDataset
        Training part.
    nodes : NodeMap
        Node numbering.
    markets : sequence of str
        Markets whose sequences are learned; a step's are of one of them.
    weights : float32 [num_items]
        Weight of each item as a target.
    config : CatSRNetworkConfig
        Lengths and the batch size.
    device : str
        Where the tensors live.
    """

    def __init__(
        self,
        train: MarketDataset,
        nodes: NodeMap,
        markets: Sequence[str],
        weights: NDArray[np.float32],
        config: CatSRNetworkConfig,
        device: str,
    ) -> None:
        self._train, self._nodes, self._markets = train, nodes, markets
        self._config, self._device = config, device
        self._weights = torch.from_numpy(weights)
        self._catalogues = [
            torch.from_numpy(nodes.item_nodes(train.catalogue(market)) - nodes.num_users)
            for market in markets
        ]

    def batches(self, generator: np.random.Generator) -> Iterator[Prefixes]:
        """Yield every sequence of two items or more once."""
        longest = self._config.max_length + 1
        histories = Histories.of(self._train, self._nodes, self._markets, ties=generator)
        steps = []
        for market, items in zip(self._markets, self._catalogues, strict=True):
            users = np.arange(len(self._train.users(market)))
            users = self._nodes.user_nodes(market, users)
            users = users[histories.lengths[users] > 1]
            lengths = np.minimum(histories.lengths[users], longest)
            for rows in batches_by_length(lengths, self._config.batch_size, generator):
                steps.append((users[rows], items))
        for step in generator.permutation(len(steps)):
            chosen, items = steps[step]
            yield self._prefixes(histories.padded(chosen, longest), items)

    def _prefixes(self, whole: Tensor, items: Tensor) -> Prefixes:
        sequences, following = whole[:, :-1], whole[:, 1:]
        real = sequences != len(self._weights)
        followers = following[real]
        parts = (
            sequences,
            real.reshape(-1).nonzero().squeeze(1),
            torch.searchsorted(items, followers),
            items,
            self._weights[followers],
        )
        return Prefixes(*(part.to(self._device) for part in parts))
