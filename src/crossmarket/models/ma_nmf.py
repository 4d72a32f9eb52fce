"""MA-NMF: neural matrix factorisation whose items differ from market to market."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.gmf import GMFNetwork
from crossmarket.models.mlp import MLPNetwork
from crossmarket.models.nmf import NMF, NMFNetwork


def market_vectors(nodes: NodeMap, width: int) -> nn.Parameter:
    """One vector of ones for each market, float32 [markets, width]: at first all are alike."""
    return nn.Parameter(torch.ones(len(nodes.markets), width))


class MarketGMFNetwork(GMFNetwork):
    """`h^T (p_u * q_i * m_k) + b`."""

    stage = "ma-gmf"
    per_market = True

    def __init__(self, nodes: NodeMap, width: int) -> None:
        super().__init__(nodes, width)
        self.markets = market_vectors(nodes, width)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        moved = self.items(items) * self.markets[market]
        return self.output(self.users(users) * moved).squeeze(-1)  # type: ignore[no-any-return]


class MarketMLPNetwork(MLPNetwork):
    """`h^T z_L + b` with `z_1 = [p_u; q_i * m_k]`."""

    stage = "ma-mlp"
    per_market = True

    def __init__(
        self, nodes: NodeMap, width: int, hidden: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__(nodes, width, hidden, dropout)
        self.markets = market_vectors(nodes, width)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        moved = self.items(items) * self.markets[market]
        return self.output(self.tower(self.users(users), moved)).squeeze(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def start_from(self, gmf: GMFNetwork) -> None:
        """Copy tables and market vectors."""
        assert isinstance(gmf, MarketGMFNetwork)
        super().start_from(gmf)
        self.markets.copy_(gmf.markets)


class MarketNMFNetwork(NMFNetwork):
    """`h^T [z_L; p_u * q_i * m_k] + b`; both parts have the same `m_k`."""

    stage = "ma-nmf"
    gmf_type = MarketGMFNetwork
    mlp_type = MarketMLPNetwork
    per_market = True

    def __init__(
        self, nodes: NodeMap, width: int, hidden: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__(nodes, width, hidden, dropout)
        self.markets = market_vectors(nodes, width)

    def features(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Return `[z_L; p_u * q_i * m_k]`, float32 [..., hidden[-1] + width]."""
        vector = self.markets[market]
        z = self.tower(self.mlp_users(users), self.mlp_items(items) * vector)
        return torch.cat([z, self.gmf_users(users) * (self.gmf_items(items) * vector)], -1)

    @torch.no_grad()
    def start_from(self, gmf: GMFNetwork, mlp: MLPNetwork) -> None:
        """Copy tables, layers and the market vectors of the MLP."""
        assert isinstance(mlp, MarketMLPNetwork)
        super().start_from(gmf, mlp)
        self.markets.copy_(mlp.markets)


class MarketAwareNMF(NMF):
    """Market-aware NMF (Bhargav et al. 2023): `q_i * m_k` takes the place of `q_i`.

    `m_k` is learned with everything else. As in the authors' code GMF and MLP share it, and each
    of the three trainings starts from that of the one before; unlike there it starts at ones
    instead of N(0, 1), so that at first an item is the same in all markets.
    """

    name = "ma-nmf"
    summary = "neural matrix factorisation with items scaled by a market vector"
    paper = "Bhargav et al. 2023"
    family = "cross-market"
    presets: ClassVar = {}
    network = MarketNMFNetwork
