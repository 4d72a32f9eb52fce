"""Two domains, the target market and all others merged: what systems with two towers share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseRecommender
from crossmarket.training.examples import Examples

#: Positions of the two domains.
TARGET, SOURCE = 0, 1


@dataclass(frozen=True)
class Domains:
    """The target among the markets, and the items that bridge it to the others.

    Attributes
    ----------
    nodes : NodeMap
        Users and items of all markets.
    place : int
        Position of the target among `nodes.markets`.
    bridge : bool [number of item nodes]
        Items sold in the target and in another market; none where there is no other.
    """

    nodes: NodeMap
    place: int
    bridge: Tensor

    @classmethod
    def of(cls, train: MarketDataset, nodes: NodeMap, target: str) -> Domains:
        """Read off the catalogues who sells what."""
        elsewhere = [train.catalogue(market) for market in nodes.markets if market != target]
        shared = np.intersect1d(
            train.catalogue(target), np.concatenate([np.zeros(0, dtype=np.int32), *elsewhere])
        )
        bridge = torch.from_numpy(np.isin(nodes.items, shared))
        return cls(nodes, nodes.markets.index(target), bridge)


class DomainNetwork(PairNetwork):
    """A tower for each domain; a pair is judged by the tower of its user's domain."""

    per_market = True
    #: Share of each domain's mean cross entropy in the loss.
    weights: tuple[float, float] = (1.0, 1.0)

    def __init__(self, domains: Domains) -> None:
        super().__init__()
        self.place = domains.place
        self.register_buffer("bridge", domains.bridge)
        self.bridge: Tensor

    @abstractmethod
    def tower_logits(self, users: Tensor, items: Tensor, domain: int) -> Tensor:
        """Logits of pairs of one domain; shapes as in `PairNetwork.forward`."""

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return self.tower_logits(users, items, TARGET if market == self.place else SOURCE)

    def is_bridge(self, items: Tensor) -> Tensor:
        """Whether both domains sell each item, bool [..., 1]."""
        return self.bridge[items].unsqueeze(-1)

    def penalty(self) -> Tensor | None:
        """What the loss adds to the cross entropies; by default nothing."""
        return None

    def losses(self, examples: Examples) -> dict[str, Tensor]:
        """Sum of the domains' weighted mean cross entropies, and the penalty."""
        terms = [
            self.weights[domain]
            * F.binary_cross_entropy_with_logits(self.tower_logits(users, items, domain), labels)
            for domain, users, items, labels in by_domain(examples, self.place)
        ]
        penalty = self.penalty()
        if penalty is not None:
            terms.append(penalty)
        return {"loss": torch.stack(terms).sum()}


def by_domain(examples: Examples, place: int) -> Iterator[tuple[int, Tensor, Tensor, Tensor]]:
    """Yield users, items and labels of each domain that a step has examples of."""
    runs = [(start, end) for start, end, market in examples.runs if market == place]
    start, end = runs[0] if runs else (0, 0)
    columns = examples.users, examples.items, examples.labels
    if end > start:
        users, items, labels = (column[start:end] for column in columns)
        yield TARGET, users, items, labels
    if end - start < len(examples):
        users, items, labels = (torch.cat([column[:start], column[end:]]) for column in columns)
        yield SOURCE, users, items, labels


class DomainRecommender(PointwiseRecommender):
    """A network of two towers, trained for each target anew; a system writes `_build`.

    All markets are learned from; the validation metric of the target decides.
    """

    family: ClassVar = "cross-domain"

    @abstractmethod
    def _build(self, domains: Domains) -> DomainNetwork:
        """Make the network in its initial state."""

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[DomainNetwork]:
        domains = Domains.of(train, self._nodes, self.target)
        return self._fit_pointwise(
            lambda: self._build(domains), train, valid, judged=(self.target,)
        )
