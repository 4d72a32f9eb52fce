"""NMF, also called NeuMF: GMF and MLP under one output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.base import Family
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.gmf import GMFConfig, GMFNetwork, fit_gmf
from crossmarket.models.layers import PairMLP, embedding
from crossmarket.models.mlp import MLPConfig, MLPNetwork, fit_mlp
from crossmarket.models.network import FittedNetwork, settle, stage_config
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseRecommender, fit_pointwise
from crossmarket.models.presets import SINGLE_AND_MERGED
from crossmarket.training.options import RunOptions


class NMFConfig(MLPConfig):
    """Settings of `NMF`; the GMF and the MLP it starts from differ in their schedules only."""

    mlp: TrainingConfig | None = Field(
        TrainingConfig(learning_rate=1e-2, epochs=25),
        description="Training of the MLP whose tables and layers are the start; null for a random "
        "start. Source: FOREC.",
    )


class NMFNetwork(PairNetwork):
    """`h^T [z_L; p_u * q_i] + b` with four tables."""

    #: Name of its training, and the networks that it starts from.
    stage: ClassVar[str] = "nmf"
    gmf_type: ClassVar[type[GMFNetwork]] = GMFNetwork
    mlp_type: ClassVar[type[MLPNetwork]] = MLPNetwork

    def __init__(
        self, nodes: NodeMap, width: int, hidden: tuple[int, ...], dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.gmf_users = embedding(nodes.num_users, width)
        self.gmf_items = embedding(len(nodes.items), width)
        self.mlp_users = embedding(nodes.num_users, width)
        self.mlp_items = embedding(len(nodes.items), width)
        self.tower = PairMLP(width, hidden, dropout)
        self.output = nn.Linear(hidden[-1] + width, 1)

    def features(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Return `[z_L; p_u * q_i]`, float32 [..., hidden[-1] + width]."""
        products = self.gmf_users(users) * self.gmf_items(items)
        return torch.cat([self.tower(self.mlp_users(users), self.mlp_items(items)), products], -1)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return self.output(self.features(users, items, market)).squeeze(-1)  # type: ignore[no-any-return]

    @torch.no_grad()
    def start_from(self, gmf: GMFNetwork, mlp: MLPNetwork) -> None:
        """Copy tables and layers; the output is half of both (He et al. 2017)."""
        self.gmf_users.load_state_dict(gmf.users.state_dict())
        self.gmf_items.load_state_dict(gmf.items.state_dict())
        self.mlp_users.load_state_dict(mlp.users.state_dict())
        self.mlp_items.load_state_dict(mlp.items.state_dict())
        self.tower.load_state_dict(mlp.tower.state_dict())
        self.output.weight.copy_(torch.cat([mlp.output.weight, gmf.output.weight], dim=1) / 2)
        self.output.bias.copy_((mlp.output.bias + gmf.output.bias) / 2)


class NMF(PointwiseRecommender):
    """Neural matrix factorisation (He et al. 2017), pre-trained as in FOREC.

    A GMF is trained, then an MLP from its tables, then both under one output. FOREC's code leaves
    the MLP's biases random; here they are copied with the weights they belong to.
    """

    name = "nmf"
    summary = "neural matrix factorisation, NeuMF"
    paper = "He et al. 2017"
    family: ClassVar[Family] = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = NMFConfig
    presets: ClassVar = SINGLE_AND_MERGED
    config: NMFConfig

    #: What is trained.
    network: ClassVar[type[NMFNetwork]] = NMFNetwork

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[NMFNetwork]:
        self._stages = fit_nmf(self._nodes, train, valid, self.config, self.options, self.network)
        return self._stages.nmf

    def _settled_config(self) -> ModelConfig:
        stages = self._stages
        return settle(self.config, stages.nmf, gmf=stages.gmf, mlp=stages.mlp)


@dataclass(frozen=True)
class NMFStages:
    """The trainings of an NMF: itself, and the GMF and MLP it started from."""

    nmf: FittedNetwork[NMFNetwork]
    gmf: FittedNetwork[GMFNetwork] | None
    mlp: FittedNetwork[MLPNetwork] | None

    def by_name(self) -> dict[str, FittedNetwork[Any]]:
        """Return what was trained, in that order, by the names of the fields."""
        stages = {"gmf": self.gmf, "mlp": self.mlp, "nmf": self.nmf}
        return {name: stage for name, stage in stages.items() if stage is not None}


def fit_nmf(
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: NMFConfig,
    options: RunOptions,
    network: type[NMFNetwork] = NMFNetwork,
) -> NMFStages:
    """Train an NMF on the markets of `nodes`; equal trainings are shared between systems."""
    gmf = mlp = None
    if config.gmf is not None and config.mlp is not None:
        settings = stage_config(GMFConfig, config, config.gmf)
        gmf = fit_gmf(nodes, train, valid, settings, options, network.gmf_type)
        mlp_settings = stage_config(MLPConfig, config, config.mlp)
        start = gmf.network
        mlp = fit_mlp(nodes, train, valid, mlp_settings, options, start, network.mlp_type)

    def build() -> NMFNetwork:
        built = network(nodes, config.embedding_size, config.hidden, config.dropout)
        if gmf is not None and mlp is not None:
            built.start_from(gmf.network, mlp.network)
        return built

    nmf = fit_pointwise(build, nodes, train, valid, config, options, name=network.stage)
    return NMFStages(nmf, gmf, mlp)
