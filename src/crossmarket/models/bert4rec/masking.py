"""Sequences with masked items: the steps of a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.bert4rec.network import Bert4RecConfig, Bert4RecNetwork
from crossmarket.models.full_softmax import full_softmax
from crossmarket.training.histories import Histories, batches_by_length


@dataclass(frozen=True)
class MaskedSequences:
    """Sequences of a step.

    Attributes
    ----------
    sequences : int64 [n, L]
        Positions of items, padded on the left; [MASK] where masked.
    places : int64 [m]
        Flat positions of the masked items.
    targets : int64 [m]
        The items that were there.
    """

    sequences: Tensor
    places: Tensor
    targets: Tensor

    def losses(self, network: Bert4RecNetwork) -> dict[str, Tensor]:
        """Cross entropy of the masked items among all items, mean over the masked items."""
        encoded = network.encode(self.sequences).flatten(0, 1).index_select(0, self.places)
        table, bias = network.output()
        return {"loss": full_softmax(network.project(encoded), table, self.targets, bias=bias)}


def choose_masked(
    real: NDArray[np.bool_],
    share: float,
    last_only: NDArray[np.bool_],
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """Draw the positions to mask.

    Parameters
    ----------
    real : bool [n, L]
        Where the items are; the rest is padding on the left.
    share : float
        Share of a sequence's items, rounded, at least one.
    last_only : bool [n]
        Sequences of which only the last item is masked.
    """
    counts = np.maximum(1, np.rint(share * real.sum(axis=1)))
    draws = np.where(real, generator.random(real.shape), 2.0)
    counts[last_only] = 1
    draws[last_only, -1] = -1.0
    ranks = draws.argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks < counts[:, None]) & real


class MaskedSequenceSampler:
    """Draws an epoch of masked sequences; items of equal times in a new order each time.

    Parameters
    ----------
    train : MarketDataset
        Training part; users without interactions are passed over.
    nodes : NodeMap
        Node numbering; all its markets are learned.
    config : Bert4RecConfig
        Lengths, shares and the batch size.
    device : str
        Where the tensors live.
    """

    def __init__(
        self, train: MarketDataset, nodes: NodeMap, config: Bert4RecConfig, device: str
    ) -> None:
        self.train, self.nodes, self.config, self.device = train, nodes, config, device

    def batches(self, generator: np.random.Generator) -> Iterator[MaskedSequences]:
        """Yield every sequence `num_maskings` times masked at random and once at its end."""
        config = self.config
        histories = Histories.of(self.train, self.nodes, self.nodes.markets, ties=generator)
        once = np.flatnonzero(histories.lengths)
        users = np.tile(once, config.num_maskings + 1)
        last_only = np.arange(len(users)) < len(once)
        lengths = np.minimum(histories.lengths[users], config.max_length)
        for rows in batches_by_length(lengths, config.batch_size, generator):
            items = histories.padded(users[rows], config.max_length)
            real = (items != histories.pad).numpy()
            masked = torch.from_numpy(
                choose_masked(real, config.mask_share, last_only[rows], generator)
            )
            parts = (
                items.masked_fill(masked, histories.pad + 1),
                masked.view(-1).nonzero().squeeze(1),
                items[masked],
            )
            yield MaskedSequences(*(part.to(self.device) for part in parts))
