"""DDTCDR: two perceptrons over given vectors, joined by an orthogonal map of the items."""

from __future__ import annotations

from math import log
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.domains import TARGET, DomainNetwork, DomainRecommender, Domains
from crossmarket.models.gmf import GMFConfig, GMFNetwork, fit_gmf
from crossmarket.models.layers import PairMLP, fixed_embedding
from crossmarket.models.network import FittedNetwork, settle, stage_config
from crossmarket.models.pointwise import PointwiseConfig


class DDTCDRConfig(PointwiseConfig):
    """Settings of `DDTCDR`."""

    embedding_size: int = Field(8, ge=1, description="Width of a vector. Source: DDTCDR, 8.")
    hidden: tuple[int, ...] = Field(
        (64, 8), min_length=1, description="Widths of the layers. Source: DDTCDR, 64, 8."
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of activations dropped. Source: DDTCDR, 0.1."
    )
    transfer: float = Field(
        0.03,
        ge=0,
        lt=1,
        description="Share of the other domain's prediction, a. Source: DDTCDR, 0.03.",
    )
    orthogonality: float = Field(
        1e-6, ge=0, description="Weight of sum|W W^T - I|. Source: DDTCDR's code, 1e-6."
    )
    tune_embeddings: bool = Field(
        False, description="Whether the given vectors are trained on. Source: DDTCDR, no."
    )
    gmf: TrainingConfig = Field(
        TrainingConfig(learning_rate=5e-3, epochs=25),
        description="Training of the GMF on all markets that gives the vectors. Source: FOREC.",
    )
    learning_rate: float = Field(
        1e-2, gt=0, description="Rate of Adam. Source: DDTCDR, 0.01 (of plain descent)."
    )
    reg: float = Field(1e-7, ge=0, description="Weight decay of Adam. Source: FOREC, 1e-7.")
    epochs: int = Field(100, ge=0, description="Most epochs. Source: DDTCDR, 100.")


class DDTCDRNetwork(DomainNetwork):
    """`(1 - a) RS_A(p_u, q_i) + a RS_B(p_u, W q_i)` as a logit; B takes `W^T`."""

    def __init__(self, domains: Domains, start: GMFNetwork, config: DDTCDRConfig) -> None:
        super().__init__(domains)
        self.transfer, self.orthogonality = config.transfer, config.orthogonality
        width = config.embedding_size
        self.users = fixed_embedding(start.users.weight)
        self.items = fixed_embedding(start.items.weight)
        if config.tune_embeddings:
            self.users.requires_grad_(True)
            self.items.requires_grad_(True)
        self.towers = nn.ModuleList(PairMLP(width, config.hidden, config.dropout) for _ in range(2))
        self.outputs = nn.ModuleList(nn.Linear(config.hidden[-1], 1) for _ in range(2))
        self.map = nn.Parameter(nn.init.orthogonal_(torch.empty(width, width)))

    def rate(self, domain: int, p: Tensor, q: Tensor) -> Tensor:
        """Logits of one domain's perceptron, `RS`."""
        return self.outputs[domain](self.towers[domain](p, q)).squeeze(-1)  # type: ignore[no-any-return]

    def tower_logits(self, users: Tensor, items: Tensor, domain: int) -> Tensor:
        """Logits of one domain, mixed with the other's where both sell the item."""
        p, q = self.users(users), self.items(items)
        own = self.rate(domain, p, q)
        if not self.transfer:
            return own
        across = F.linear(q, self.map if domain == TARGET else self.map.T)
        mixed = mix(own, self.rate(1 - domain, p, across), self.transfer)
        return torch.where(self.is_bridge(items).squeeze(-1), mixed, own)

    def penalty(self) -> Tensor:
        """How far the map is from orthogonal."""
        identity = torch.eye(len(self.map), device=self.map.device)
        return self.orthogonality * (self.map @ self.map.T - identity).abs().sum()


def mix(own: Tensor, other: Tensor, share: float) -> Tensor:
    """Logit of the probability `(1 - share) sigma(own) + share sigma(other)`."""

    def log_mean(sign: int) -> Tensor:
        kept = F.logsigmoid(sign * own) + log(1 - share)
        return torch.logaddexp(kept, F.logsigmoid(sign * other) + log(share))

    return log_mean(1) - log_mean(-1)


class DDTCDR(DomainRecommender):
    """Deep dual transfer (Li and Tuzhilin 2020) with users and items in swapped roles (FOREC).

    The vectors come from one GMF of all markets, shared by all targets, and stay. Item vectors
    are mapped, and only items that both domains sell are judged by both perceptrons; the
    probabilities are mixed. One map serves both directions, as in the paper. Adam instead of
    plain descent and cross entropy instead of squared error.

    The official code detaches the other domain's term and predicts without it, so that nothing
    is transferred: preset `faithful-detach`, which is a = 0.
    """

    name = "ddtcdr"
    summary = "two perceptrons joined by an orthogonal map of items"
    paper = "Li and Tuzhilin 2020"
    config_class: ClassVar[type[ModelConfig]] = DDTCDRConfig
    presets: ClassVar = {"paper": {}, "faithful-detach": {"transfer": 0.0}}
    config: DDTCDRConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[DomainNetwork]:
        settings = stage_config(GMFConfig, self.config, self.config.gmf)
        self._gmf = fit_gmf(self._nodes, train, valid, settings, self.options)
        return super()._learn(train, valid)

    def _build(self, domains: Domains) -> DDTCDRNetwork:
        return DDTCDRNetwork(domains, self._gmf.network, self.config)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted, gmf=self._gmf)
