"""GMF: generalised matrix factorisation."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import embedding
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import MarketsConfig, PointwiseRecommender, fit_pointwise
from crossmarket.models.presets import SINGLE_AND_MERGED
from crossmarket.training.options import RunOptions


class GMFConfig(MarketsConfig):
    """Settings of `GMF`."""

    embedding_size: int = Field(8, ge=1, description="Width of a vector. Source: FOREC, 8.")
    learning_rate: float = Field(5e-3, gt=0, description="Rate of Adam. Source: FOREC, 0.005.")
    reg: float = Field(1e-7, ge=0, description="Weight decay of Adam. Source: FOREC, 1e-7.")
    epochs: int = Field(25, ge=0, description="Most epochs. Source: FOREC's code, 25.")


class GMFNetwork(PairNetwork):
    """`h^T (p_u * q_i) + b`."""

    #: Name of its training.
    stage: ClassVar[str] = "gmf"

    def __init__(self, nodes: NodeMap, width: int) -> None:
        super().__init__()
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)
        self.output = nn.Linear(width, 1)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return self.output(self.users(users) * self.items(items)).squeeze(-1)  # type: ignore[no-any-return]


class GMF(PointwiseRecommender):
    """Generalised matrix factorisation (He et al. 2017): a weighted inner product.

    `yhat = sigma(h^T (p_u * q_i) + b)`, cross entropy over observed and sampled pairs.
    """

    name = "gmf"
    summary = "generalised matrix factorisation"
    paper = "He et al. 2017"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = GMFConfig
    presets: ClassVar = SINGLE_AND_MERGED
    config: GMFConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[GMFNetwork]:
        return fit_gmf(self._nodes, train, valid, self.config, self.options)


def fit_gmf(
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: GMFConfig,
    options: RunOptions,
    network: type[GMFNetwork] = GMFNetwork,
) -> FittedNetwork[GMFNetwork]:
    """Train a GMF on the markets of `nodes`; equal trainings are shared between systems."""
    return fit_pointwise(
        lambda: network(nodes, config.embedding_size),
        nodes,
        train,
        valid,
        config,
        options,
        name=network.stage,
    )
