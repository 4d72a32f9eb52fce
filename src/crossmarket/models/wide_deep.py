"""Wide & Deep: a linear model of the ids beside a perceptron over their vectors."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import PairMLP, embedding
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import MarketsConfig, PointwiseRecommender
from crossmarket.models.presets import SINGLE_AND_MERGED

#: 2^64 over the golden ratio, as a signed number: its multiples scatter (Fibonacci hashing).
_SCATTER = -7046029254386353131


class WideDeepConfig(MarketsConfig):
    """Settings of `WideDeep`."""

    embedding_size: int = Field(32, ge=1, description="Width of a vector. Source: ACMR's code, 32.")
    hidden: tuple[int, ...] = Field(
        (128, 64, 32), min_length=1, description="Widths of the deep layers. Source: ACMR's code."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share dropped. Source: ACMR, 0.3.")
    reg: float = Field(
        1e-6, ge=0, description="Weight decay of Adam. Source: ACMR, middle of its grid."
    )
    epochs: int = Field(50, ge=0, description="Most epochs. Source: ACMR, 50.")
    cross_buckets: int = Field(
        0,
        ge=0,
        description="Hashed weights of the crosses user x market and item x market; 0 for none, "
        "2^18 is plenty. Source: ours.",
    )


class WideDeepNetwork(PairNetwork):
    """`b + w_u + w_i + h^T z_L` with `z_1 = [p_u; q_i]` and `z_{l+1} = relu(W_l z_l + b_l)`."""

    def __init__(self, nodes: NodeMap, config: WideDeepConfig) -> None:
        super().__init__()
        self.user_weights = embedding(nodes.num_users, 1)
        self.item_weights = embedding(len(nodes.items), 1)
        self.users = embedding(nodes.num_users, config.embedding_size)
        self.items = embedding(len(nodes.items), config.embedding_size)
        self.tower = PairMLP(config.embedding_size, config.hidden, config.dropout)
        self.output = nn.Linear(config.hidden[-1], 1)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        wide = self.user_weights(users) + self.item_weights(items)
        deep = self.output(self.tower(self.users(users), self.items(items)))
        return (wide + deep).squeeze(-1)  # type: ignore[no-any-return]


class CrossedNetwork(WideDeepNetwork):
    """Adds hashed weights of (user, market) and (item, market) to the wide part."""

    per_market = True

    def __init__(self, nodes: NodeMap, config: WideDeepConfig) -> None:
        super().__init__(nodes, config)
        self.num_users, self.num_markets = nodes.num_users, len(nodes.markets)
        self.crosses = embedding(config.cross_buckets, 1)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        crossed = self._cross(users, market) + self._cross(items + self.num_users, market)
        return super().forward(users, items, market) + crossed

    def _cross(self, nodes: Tensor, market: int) -> Tensor:
        scattered = (nodes * self.num_markets + market + 1) * _SCATTER >> 32
        buckets = torch.remainder(scattered, self.crosses.num_embeddings)
        return self.crosses(buckets).squeeze(-1)  # type: ignore[no-any-return]


class WideDeep(PointwiseRecommender):
    """Wide & Deep (Cheng et al. 2016) over ids, the only features there are.

    `yhat = sigma(b + w_u + w_i + h^T z_L)`; one Adam for both parts, as in ACMR, instead of FTRL
    and AdaGrad.
    """

    name = "wide-deep"
    summary = "linear weights of the ids beside a perceptron"
    paper = "Cheng et al. 2016"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = WideDeepConfig
    presets: ClassVar = SINGLE_AND_MERGED
    config: WideDeepConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[WideDeepNetwork]:
        network = CrossedNetwork if self.config.cross_buckets else WideDeepNetwork
        return self._fit_pointwise(lambda: network(self._nodes, self.config), train, valid)
