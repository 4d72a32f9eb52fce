"""MMoE: experts that all markets share, mixed by a gate of each market."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import activate, perceptron
from crossmarket.models.multi_task import (
    M3REC_ENCODER,
    MultiTaskConfig,
    MultiTaskNetwork,
    MultiTaskRecommender,
    StackedLinear,
    StackedPairLinear,
)


class MMoEConfig(MultiTaskConfig):
    """Settings of `MMoE`."""

    num_experts: int = Field(4, ge=1, description="Number of experts. Source: none; ours.")
    hidden: tuple[int, ...] = Field(
        (128, 64),
        min_length=1,
        description="Widths of an expert's layers. Source: M3Rec (512, 1024, 128); ours 4d, 2d.",
    )
    tower: tuple[int, ...] = Field(
        (32,), description="Widths of a task's hidden layers. Source: none; ours d."
    )


class MMoENetwork(MultiTaskNetwork):
    """Experts and gates over `[p_u; q_i]`, and a tower for each task."""

    def __init__(self, nodes: NodeMap, config: MMoEConfig, tasks: Sequence[int]) -> None:
        hidden, count = config.hidden, config.num_experts
        super().__init__(nodes, config.embedding_size, tasks, count * max(hidden))
        self.first = StackedPairLinear(count, config.embedding_size, hidden[0])
        self.rest = nn.ModuleList(StackedLinear(count, *widths) for widths in pairwise(hidden))
        self.gates = StackedPairLinear(self.num_tasks, config.embedding_size, count)
        widths = (hidden[-1], *config.tower)
        self.towers = nn.ModuleList(
            nn.Sequential(perceptron(widths, config.dropout), nn.Linear(widths[-1], 1))
            for _ in range(self.num_tasks)
        )
        self.dropout = config.dropout

    def shared(self, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        """Experts [experts, ..., hidden[-1]] and logits of the gates [tasks, ..., experts]."""
        z = activate(self.first(p, q), self.dropout, self.training)
        for layer in self.rest:
            z = activate(layer(z), self.dropout, self.training)
        return z, self.gates(p, q)

    def output(self, task: int, *shared: Tensor) -> Tensor:
        """Logits of a task: its tower over its mixture of the experts."""
        experts, gates = shared
        weights = torch.softmax(gates[task], dim=-1).movedim(-1, 0)
        mixed = (weights[..., None] * experts).sum(dim=0)
        return self.towers[task](mixed).squeeze(-1)  # type: ignore[no-any-return]


class MMoE(MultiTaskRecommender):
    """Multi-gate mixture of experts (Ma et al. 2018), a task for each market.

    `f_e` are perceptrons over `x = [p_u; q_i]`; market k mixes them with `softmax(W_k x + b_k)`
    and reads the mixture through its own tower. Experts have a ReLU after every layer.
    """

    name = "mmoe"
    summary = "shared experts, mixed by a gate of each market"
    paper = "Ma et al. 2018"
    config_class: ClassVar[type[ModelConfig]] = MMoEConfig
    presets: ClassVar = {
        "paper": {},
        "acmr": {"tasks": "target"},
        "m3rec": {**M3REC_ENCODER, "tower": (64,)},
    }
    config: MMoEConfig

    def _build(self, tasks: Sequence[int]) -> MMoENetwork:
        return MMoENetwork(self._nodes, self.config, tasks)
