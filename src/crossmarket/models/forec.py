"""FOREC and NMF-FOREC: a network for all markets, forked and fine-tuned for each."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import perceptron
from crossmarket.models.maml import MetaConfig, PretrainedNMFConfig, StageConfig, fit_maml
from crossmarket.models.network import FittedNetwork, freeze, settle, stage_config
from crossmarket.models.nmf import NMFConfig, NMFNetwork, fit_nmf
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseRecommender


class NMFForecConfig(PretrainedNMFConfig):
    """Settings of `NMFForec`; `reg`, `epochs` and the like are those of the fine-tuning."""

    head: tuple[int, ...] | None = Field(
        (32,),
        description="Widths inside the market's head, which ends as wide as it begins; null for "
        "no head. Source: FOREC, 32.",
    )
    frozen_layers: int = Field(
        1, ge=0, description="Layers of the perceptron, from the ids on, that stay. Source: FOREC."
    )
    reg: float = Field(1e-3, ge=0, description="Weight decay of Adam. Source: FOREC, 0.001.")
    batch_size: int = Field(20, ge=1, description="Examples of a step. Source: FOREC's code, 20.")


class ForecConfig(NMFForecConfig, MetaConfig):
    """Settings of `Forec`."""

    maml: StageConfig = Field(
        StageConfig(), description="Meta-learning that the fork starts from. Source: FOREC's code."
    )


class ForkedNetwork(PairNetwork):
    """`h^T head([z_L; p_u * q_i]) + b` over a trained NMF whose lower part is frozen."""

    def __init__(self, trunk: NMFNetwork, head: tuple[int, ...] | None, frozen_layers: int) -> None:
        super().__init__()
        self.trunk = deepcopy(trunk)
        width = trunk.output.in_features
        self.head = nn.Identity() if head is None else perceptron([width, *head, width])
        trunk = self.trunk
        freeze(trunk.gmf_users, trunk.gmf_items, trunk.mlp_users, trunk.mlp_items)
        freeze(*[trunk.tower.first, *trunk.tower.rest][:frozen_layers])

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        features = self.trunk.features(users, items, market)
        return self.trunk.output(self.head(features)).squeeze(-1)  # type: ignore[no-any-return]


class NMFForec(PointwiseRecommender):
    """Forked recommendation (Bonab et al. 2021) from an NMF trained on all markets.

    The fork freezes the four tables, hence the whole GMF part, and the first layer of the
    perceptron; the other layers and the output start as trained, the head between them and the
    output starts at random. It is fine-tuned on the target alone, as the source's code does with
    small batches and a strong penalty. All other markets are sources; the paper takes one.
    """

    name = "nmf-forec"
    summary = "neural matrix factorisation of all markets, forked for the target"
    paper = "Bonab et al. 2021"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = NMFForecConfig
    presets: ClassVar = {"paper": {}, "no-head": {"head": None}, "short-head": {"head": ()}}
    config: NMFForecConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[ForkedNetwork]:
        self._stages = self._shared(train, valid)
        # Stages come in the order of training.
        *_, trunk = self._stages.values()
        return self._fit_pointwise(
            lambda: ForkedNetwork(trunk.network, self.config.head, self.config.frozen_layers),
            train,
            valid,
            learn_from=[self.target],
        )

    def _shared(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> dict[str, FittedNetwork[Any]]:
        """Train what serves every target; the last stage is what forks."""
        settings = stage_config(NMFConfig, self.config, self.config.nmf)
        return fit_nmf(self._nodes, train, valid, settings, self.options).by_name()

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted, **self._stages)


class Forec(NMFForec):
    """Forked recommendation (Bonab et al. 2021) from a meta-learned NMF."""

    name = "forec"
    summary = "meta-learned neural matrix factorisation, forked for the target"
    config_class: ClassVar[type[ModelConfig]] = ForecConfig
    config: ForecConfig

    def _shared(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> dict[str, FittedNetwork[Any]]:
        settings = stage_config(MetaConfig, self.config, self.config.maml)
        return fit_maml(self._nodes, train, valid, settings, self.options)
