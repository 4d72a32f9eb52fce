"""Recommenders that read a user's history and score every item as what comes next."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.network import FittedNetwork, count_trainable
from crossmarket.training.histories import Histories

#: Tokens encoded at once in scoring: few enough that the activations stay in the caches.
_TOKEN_BLOCK = 4_096


class SequenceNetwork(nn.Module):
    """A vector of what comes next after a sequence of items.

    Attributes
    ----------
    longest_history : int
        Most items that `next_vectors` takes.
    """

    longest_history: int

    @abstractmethod
    def next_vectors(self, sequences: Tensor) -> Tensor:
        """Encode histories.

        Parameters
        ----------
        sequences : int64 [n, L]
            Positions of items, oldest first, filled up on the left.

        Returns
        -------
        float32 [n, d]
        """

    @abstractmethod
    def output(self) -> tuple[Tensor, Tensor | None]:
        """Item vectors, float32 [items, d], and biases, float32 [items], that make logits."""


class SequenceScorer:
    """Scores of a sequence network as arrays: a user is encoded once, block by block.

    Parameters
    ----------
    network : SequenceNetwork
        In evaluation mode when called.
    nodes : NodeMap
        Which node is whom.
    histories : Histories
        Of the user nodes.
    device : str
        Where the network lives.
    """

    def __init__(
        self, network: SequenceNetwork, nodes: NodeMap, histories: Histories, device: str
    ) -> None:
        self.network, self.nodes, self.histories = network, nodes, histories
        self.device = device

    def __call__(self, market: str, users: Rows, items: Rows) -> FloatMatrix:
        """Score item rows [m] for user rows [n] of a market."""
        return self.score(self.nodes.user_nodes(market, users), items)

    def score(self, rows: Rows, items: Rows) -> FloatMatrix:
        """Score item rows [m] for rows [n] of the histories."""
        positions = torch.from_numpy(self.nodes.item_nodes(items) - self.nodes.num_users)
        positions = positions.to(self.device)
        lengths = np.minimum(self.histories.lengths[rows], self.network.longest_history)
        order = np.argsort(lengths, kind="stable")
        # Sorted by length, so that a block is little padded.
        step = max(1, _TOKEN_BLOCK // (int(lengths.max(initial=0)) + 1))
        scores = np.empty((len(rows), len(items)), dtype=np.float32)
        with torch.inference_mode():
            table, bias = self.network.output()
            table = table.index_select(0, positions)
            bias = None if bias is None else bias.index_select(0, positions)
            for start in range(0, len(rows), step):
                block = order[start : start + step]
                past = self.histories.padded(rows[block], self.network.longest_history)
                vectors = self.network.next_vectors(past.to(self.device))
                scores[block] = F.linear(vectors, table, bias).cpu().numpy()
        return scores


class SequentialRecommender(Recommender):
    """A sequence network over histories; a system's `_fit` sets `_nodes` and `_fitted`.

    Histories are ordered by date, what was bought at the same time and bare histories by item
    row. A system calls `_set_history` last.
    """

    uses_sources = True
    supports_fold_in = True
    _nodes: NodeMap
    _fitted: FittedNetwork[SequenceNetwork]

    def _scorer(self, histories: Histories) -> SequenceScorer:
        network = self._fitted.network
        return SequenceScorer(network, self._nodes, histories, self.options.device)

    def _set_history(self, history: MarketDataset) -> None:
        self._scores = self._scorer(Histories.of(history, self._nodes, (self.target,)))

    def _scorable(self) -> Rows:
        return self._nodes.items

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._scores(self.target, users, items)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        scorer = self._scorer(Histories.of_matrix(histories, self._nodes))
        return scorer.score(np.arange(histories.shape[0]), items)

    def num_trainable(self) -> int:
        """Count every scalar that is not frozen."""
        return count_trainable(self._fitted.network)
