"""Matrix factorisation: item vectors for systems that need some to start from."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap, map_nodes
from crossmarket.models.layers import embedding, pair_inner
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseConfig, fit_pointwise
from crossmarket.training.options import RunOptions


class MFConfig(PointwiseConfig):
    """Settings of the matrix factorisation that learns the item vectors."""

    embedding_size: int = Field(64, ge=1, description="Width of a vector. Source: DCMPT, 64.")


class MFNetwork(PairNetwork):
    """`p_u . q_i`."""

    def __init__(self, nodes: NodeMap, width: int) -> None:
        super().__init__()
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return pair_inner(self.users(users), self.items(items))


def fit_mf(
    markets: Sequence[str],
    train: MarketDataset,
    valid: MarketDataset | None,
    config: MFConfig,
    options: RunOptions,
) -> FittedNetwork[MFNetwork]:
    """Train the item vectors on some markets; equal trainings are shared between targets."""
    nodes = map_nodes(train, markets)
    return fit_pointwise(
        lambda: MFNetwork(nodes, config.embedding_size),
        nodes,
        train,
        valid,
        config,
        options,
        name="mf",
    )
