"""Matrix factorisation with biases: what items are like is shared by all markets."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import embedding
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import MarketsConfig, PointwiseRecommender


class BiasedMFConfig(MarketsConfig):
    """Settings of `BiasedMF`; inherited ones say which markets are learned, how and how long."""

    embedding_size: int = Field(32, ge=1, description="Width of a vector. Source: ours, 32.")
    market_bias: bool = Field(
        True, description="Learn an item's popularity in each market, too. Source: ours, yes."
    )
    init_std: float = Field(
        0.1, gt=0, description="Standard deviation of the initial vectors. Source: ours, 0.1."
    )
    reg: float = Field(1e-5, ge=0, description="Weight decay of Adam. Source: ours, 1e-5.")
    learning_rate: float = Field(1e-2, gt=0, description="Rate of Adam. Source: ours, 0.01.")
    epochs: int = Field(30, ge=0, description="Most epochs. Source: ours, 30.")


class BiasedMFNetwork(PairNetwork):
    """The logit of a pair: `p_u^T q_i + b_i + c_{m,i}`, with `c` for each market `m`.

    A user bias would shift all items of a user alike, and no list would change.
    """

    per_market = True  # `forward` needs to know which market a pair is of

    def __init__(self, nodes: NodeMap, config: BiasedMFConfig) -> None:
        super().__init__()
        self.num_items = len(nodes.items)
        # Every user is of one market; an item has one row, whichever markets sell it.
        self.users = embedding(nodes.num_users, config.embedding_size, config.init_std)
        self.items = embedding(self.num_items, config.embedding_size, config.init_std)
        self.bias = embedding(self.num_items, 1, 0.0)
        self.market_bias = (
            embedding(len(nodes.markets) * self.num_items, 1, 0.0) if config.market_bias else None
        )

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; `users` and `items` only need to broadcast."""
        logits: Tensor = (self.users(users) * self.items(items)).sum(dim=-1)
        logits = logits + self.bias(items).squeeze(-1)
        if self.market_bias is not None:
            logits = logits + self.market_bias(market * self.num_items + items).squeeze(-1)
        return logits


class BiasedMF(PointwiseRecommender):
    """Matrix factorisation learned by cross entropy over observed and sampled pairs."""

    name = "biased-mf"
    summary = "matrix factorisation with item biases of each market"
    paper = "after Koren et al. 2009"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = BiasedMFConfig
    presets: ClassVar = {
        "default": {},
        "single": {"markets": "target"},
        "no-market-bias": {"market_bias": False},
    }
    config: BiasedMFConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[BiasedMFNetwork]:
        """Train over `self._nodes`, the users and items of the markets that are learned."""
        return self._fit_pointwise(lambda: BiasedMFNetwork(self._nodes, self.config), train, valid)
