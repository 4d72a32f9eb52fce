"""MLP: a perceptron over the concatenated vectors of user and item."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.gmf import GMFConfig, GMFNetwork, fit_gmf
from crossmarket.models.layers import PairMLP, embedding
from crossmarket.models.network import FittedNetwork, settle, stage_config
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseRecommender, fit_pointwise
from crossmarket.models.presets import SINGLE_AND_MERGED
from crossmarket.training.options import RunOptions


class MLPConfig(GMFConfig):
    """Settings of `MLP`."""

    learning_rate: float = Field(1e-2, gt=0, description="Rate of Adam. Source: FOREC, 0.01.")
    hidden: tuple[int, ...] = Field(
        (64, 32, 16, 8), min_length=1, description="Widths of the layers. Source: FOREC."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share dropped. Source: FOREC, none.")
    gmf: TrainingConfig | None = Field(
        TrainingConfig(learning_rate=5e-3, epochs=25),
        description="Training of the GMF whose tables are the start; null for a random start. "
        "Source: FOREC.",
    )


class MLPNetwork(PairNetwork):
    """`h^T z_L + b` with `z_1 = [p_u; q_i]` and `z_{l+1} = relu(W_l z_l + b_l)`."""

    #: Name of its training.
    stage: ClassVar[str] = "mlp"

    def __init__(
        self, nodes: NodeMap, width: int, hidden: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)
        self.tower = PairMLP(width, hidden, dropout)
        self.output = nn.Linear(hidden[-1], 1)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return self.output(self.tower(self.users(users), self.items(items))).squeeze(-1)  # type: ignore[no-any-return]

    def start_from(self, gmf: GMFNetwork) -> None:
        """Copy the tables of a GMF."""
        self.users.load_state_dict(gmf.users.state_dict())
        self.items.load_state_dict(gmf.items.state_dict())


class MLP(PointwiseRecommender):
    """Perceptron over `[p_u; q_i]` (He et al. 2017), started from a GMF's tables as in FOREC."""

    name = "mlp"
    summary = "perceptron over user and item vectors"
    paper = "He et al. 2017"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = MLPConfig
    presets: ClassVar = SINGLE_AND_MERGED
    config: MLPConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[MLPNetwork]:
        self._gmf: FittedNetwork[GMFNetwork] | None = None
        if self.config.gmf is not None:
            settings = stage_config(GMFConfig, self.config, self.config.gmf)
            self._gmf = fit_gmf(self._nodes, train, valid, settings, self.options)
        start = self._gmf.network if self._gmf else None
        return fit_mlp(self._nodes, train, valid, self.config, self.options, start)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted, gmf=self._gmf)


def fit_mlp(
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: MLPConfig,
    options: RunOptions,
    start: GMFNetwork | None,
    network: type[MLPNetwork] = MLPNetwork,
) -> FittedNetwork[MLPNetwork]:
    """Train an MLP on the markets of `nodes`, from a GMF's tables where there is one."""

    def build() -> MLPNetwork:
        built = network(nodes, config.embedding_size, config.hidden, config.dropout)
        if start is not None:
            built.start_from(start)
        return built

    return fit_pointwise(build, nodes, train, valid, config, options, name=network.stage)
