"""Histories with their candidates: the steps of a training, and scoring in blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.acmr.network import ACMRNetwork, ACMRNetworkConfig
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.histories import Histories, batches_by_length
from crossmarket.training.sampling import Batch, PositiveSampler

#: Tokens encoded at once in scoring: few enough that the activations stay in the caches.
_TOKEN_BLOCK = 2_500


@dataclass(frozen=True)
class HistoryExamples:
    """Candidates of a step by the history they are asked about: a positive, then its negatives.

    Attributes
    ----------
    histories : int64 [n, length]
        Positions of items, padded.
    candidates : int64 [n, 1 + negatives]
        Positions of items.
    markets : int64 [n]
        Positions of markets in the node map.
    """

    histories: Tensor
    candidates: Tensor
    markets: Tensor

    def losses(self, network: ACMRNetwork) -> dict[str, Tensor]:
        """Binary cross entropy, mean over the candidates."""
        logits = network(self.histories, self.candidates, self.markets)
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1
        return {"loss": F.binary_cross_entropy_with_logits(logits, labels)}


class _ByLength(PositiveSampler):
    """Positives in batches of users with histories of similar length: little is padded."""

    def __init__(
        self,
        train: MarketDataset,
        nodes: NodeMap,
        markets: Sequence[str],
        histories: Histories,
    ) -> None:
        super().__init__(train, nodes, markets)
        self._lengths = histories.lengths[self.users]

    def batches(self, size: int, generator: np.random.Generator) -> Iterator[Batch]:
        for picked in batches_by_length(self._lengths, size, generator):
            yield self.batch(picked)


class HistoryExampleSampler:
    """Draws an epoch of examples; a positive is no part of the history it is asked about.

    Parameters
    ----------
    train : MarketDataset
        Training part.
    nodes : NodeMap
        Node numbering.
    markets : sequence of str
        Markets whose positives are learned.
    histories : Histories
        Of all user nodes.
    config : ACMRNetworkConfig
        Sampling, lengths, batch size.
    device : str
        Where the tensors live.
    """

    def __init__(
        self,
        train: MarketDataset,
        nodes: NodeMap,
        markets: Sequence[str],
        histories: Histories,
        config: ACMRNetworkConfig,
        device: str,
    ) -> None:
        self._histories, self._config, self._device = histories, config, device
        self._sampler = ExampleSampler(
            _ByLength(train, nodes, markets, histories),
            config.num_negatives,
            sampling=config.sampling,
            negatives=config.negatives,
        )
        self._starts = np.array([nodes.user_starts[market] for market in nodes.markets])

    def batches(self, generator: np.random.Generator) -> Iterator[HistoryExamples]:
        """Yield an epoch in steps of about `batch_size` candidates."""
        config = self._config
        for examples in self._sampler.batches(config.batch_size, generator):
            users = examples.users.view(-1, 1 + config.num_negatives)[:, 0].numpy()
            candidates = examples.items.view(len(users), -1)
            without = None if config.leaky_history else candidates[:, 0].numpy()
            markets = np.searchsorted(self._starts, users, side="right") - 1
            parts = (
                self._histories.padded(users, config.max_length, without=without),
                candidates,
                torch.from_numpy(markets),
            )
            yield HistoryExamples(*(part.to(self._device) for part in parts))


class HistoryScorer:
    """Scores of histories and candidates as arrays, block by block.

    Parameters
    ----------
    network : ACMRNetwork
        In evaluation mode when called.
    nodes : NodeMap
        Which node is whom.
    max_length : int
        Most items of a history; of longer ones the newest are kept.
    device : str
        Where the network lives.
    """

    def __init__(self, network: ACMRNetwork, nodes: NodeMap, max_length: int, device: str) -> None:
        self.network, self.nodes, self.max_length, self.device = network, nodes, max_length, device

    def score(self, histories: Histories, users: Rows, market: str, items: Rows) -> FloatMatrix:
        """Score item rows [m], or a list [n, m] for each, for rows [n] of `histories`."""
        columns = np.atleast_2d(self.nodes.item_nodes(items) - self.nodes.num_users)
        place = self.nodes.markets.index(market)
        sizes = np.minimum(histories.lengths[users], self.max_length)
        scores = np.empty((len(users), columns.shape[1]), dtype=np.float32)
        with torch.inference_mode():
            for rows, block in _blocks(sizes, columns.shape[1]):
                own = columns[rows] if items.ndim > 1 else columns.repeat(len(rows), axis=0)
                past = histories.padded(users[rows], self.max_length)
                candidates = torch.from_numpy(own[:, block])
                markets = torch.full((len(rows),), place)
                parts = (part.to(self.device) for part in (past, candidates, markets))
                scores[rows, block] = self.network(*parts).cpu().numpy()
        return scores


def _blocks(sizes: NDArray[np.int64], width: int) -> Iterator[tuple[NDArray[np.int64], slice]]:
    """Cut the pairs of rows and `width` columns into blocks of rows of one size."""
    order = np.argsort(sizes, kind="stable")
    for same in np.split(order, np.flatnonzero(np.diff(sizes[order])) + 1):
        pairs = max(1, _TOKEN_BLOCK // (int(sizes[same].max(initial=0)) + 1))
        rows = max(1, pairs // max(width, 1))
        for start in range(0, len(same), rows):
            for first in range(0, width, pairs):
                yield same[start : start + rows], slice(first, first + pairs)
