"""CoNet: two perceptrons that feed each other through shared cross connections."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.models.config import ModelConfig
from crossmarket.models.domains import DomainNetwork, DomainRecommender, Domains
from crossmarket.models.layers import PairLinear, embedding
from crossmarket.models.pointwise import PointwiseConfig


class CoNetConfig(PointwiseConfig):
    """Settings of `CoNet`."""

    embedding_size: int = Field(32, ge=1, description="Width of a vector. Source: CoNet, 32.")
    hidden: tuple[int, ...] = Field(
        (32, 16, 8), min_length=1, description="Widths of the layers. Source: CoNet, 32, 16, 8."
    )
    num_cross: int = Field(
        2, ge=0, description="Layers that receive from the other tower. Source: CoNet's code, 2."
    )
    cross_l1: float = Field(
        0.0,
        ge=0,
        description="L1 penalty of the cross weights. Source: CoNet, none; SCoNet has it.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Rate of Adam. Source: CoNet, 1e-3.")
    epochs: int = Field(50, ge=0, description="Most epochs. Source: ACMR, 50.")


class Tower(nn.Module):
    """Perceptron of one domain with tables of its own over all users and items."""

    def __init__(self, domains: Domains, config: CoNetConfig) -> None:
        super().__init__()
        width, hidden = config.embedding_size, config.hidden
        self.users = embedding(domains.nodes.num_users, width)
        self.items = embedding(len(domains.nodes.items), width)
        self.layers = nn.ModuleList([PairLinear(width, width, hidden[0])])
        self.layers.extend(nn.Linear(before, after) for before, after in pairwise(hidden))
        self.output = nn.Linear(hidden[-1], 1)

    def embed(self, users: Tensor, items: Tensor) -> tuple[Tensor, ...]:
        """Return `p_u` and `q_i`, what the first layer takes."""
        return self.users(users), self.items(items)


class CoNetNetwork(DomainNetwork):
    """`a_A' = relu(W_A a_A + b_A + m_i H a_B)`, symmetric in A and B with the same `H`.

    `m_i` is 1 for items that both domains sell, else 0.
    """

    def __init__(self, domains: Domains, config: CoNetConfig) -> None:
        super().__init__(domains)
        self.cross_l1 = config.cross_l1
        self.towers = nn.ModuleList(Tower(domains, config) for _ in range(2))
        width, hidden = config.embedding_size, config.hidden
        crosses: list[nn.Linear] = [PairLinear(width, width, hidden[0], bias=False)]
        crosses += [nn.Linear(before, after, bias=False) for before, after in pairwise(hidden)]
        self.cross = nn.ModuleList(crosses[: config.num_cross])
        for weight in self.cross.parameters():
            nn.init.normal_(weight, std=0.01)

    def tower_logits(self, users: Tensor, items: Tensor, domain: int) -> Tensor:
        """Logits of one domain's tower, with what the other tower passes to it."""
        own, other = (cast(Tower, self.towers[place]) for place in (domain, 1 - domain))
        mine, theirs = own.embed(users, items), other.embed(users, items)
        mask = self.is_bridge(items).float()
        for depth, (layer, twin) in enumerate(zip(own.layers, other.layers, strict=True)):
            before = layer(*mine), twin(*theirs)
            if depth < len(self.cross):
                cross = self.cross[depth]
                before = before[0] + mask * cross(*theirs), before[1] + mask * cross(*mine)
            mine, theirs = (torch.relu(before[0]),), (torch.relu(before[1]),)
        return own.output(*mine).squeeze(-1)  # type: ignore[no-any-return]

    def penalty(self) -> Tensor | None:
        """L1 norm of the cross weights."""
        if not self.cross_l1 or not len(self.cross):
            return None
        weights = torch.cat([weight.flatten() for weight in self.cross.parameters()])
        return self.cross_l1 * weights.abs().sum()


class CoNet(DomainRecommender):
    """Collaborative cross networks (Hu et al. 2018), connected through items as in FOREC and ACMR.

    Both towers read the ids of a pair; the cross connections are open where both domains sell
    the item, when scoring, too. One logit instead of the official softmax over two classes; the
    layers start as everywhere here and the cross weights from N(0, 0.01^2); every step mixes the
    domains and gradients are not clipped. Official: batches of 128, one negative.
    """

    name = "conet"
    summary = "two perceptrons with shared cross connections"
    paper = "Hu et al. 2018"
    config_class: ClassVar[type[ModelConfig]] = CoNetConfig
    presets: ClassVar = {
        "paper": {},
        "sparse": {"cross_l1": 1e-3},
        "no-cross": {"num_cross": 0},
    }
    config: CoNetConfig

    def _build(self, domains: Domains) -> CoNetNetwork:
        return CoNetNetwork(domains, self.config)
