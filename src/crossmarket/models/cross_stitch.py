"""Cross-Stitch: a tower for each market, mixed after every layer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.layers import activate
from crossmarket.models.multi_task import (
    M3REC_ENCODER,
    MultiTaskConfig,
    MultiTaskNetwork,
    MultiTaskRecommender,
    StackedLinear,
    StackedPairLinear,
)


class CrossStitchConfig(MultiTaskConfig):
    """Settings of `CrossStitch`."""

    own_share: float = Field(
        0.9,
        ge=0,
        le=1,
        description="Weight of a tower's own activation at the start; the others share the rest. "
        "Source: Misra et al. 2016, 0.9.",
    )
    stitch_rate: float = Field(
        10.0,
        gt=0,
        description="Learning rate of the stitch weights over that of all else. Source: Misra et "
        "al. 2016, 100 to 1000; ours.",
    )


class Stitch(nn.Module):
    """Mixes the activations of towers: `x~_k = sum_t a_kt x_t`.

    The parameter is `a / rate`, so that a step of Adam moves `a` by `rate` times its size.
    """

    def __init__(self, num_towers: int, own_share: float, rate: float) -> None:
        super().__init__()
        self.rate = rate
        start = torch.full((num_towers, num_towers), (1 - own_share) / max(1, num_towers - 1))
        start.fill_diagonal_(own_share if num_towers > 1 else 1)
        self.weight = nn.Parameter(start / rate)

    def shares(self) -> Tensor:
        """Weights `a_kt` of tower t's activation in tower k, float [towers, towers]."""
        return self.weight * self.rate

    def forward(self, x: Tensor) -> Tensor:
        """Mix activations, float [towers, ..., width]."""
        return (self.shares() @ x.reshape(len(x), -1)).view_as(x)


class CrossStitchNetwork(MultiTaskNetwork):
    """Towers over the same `[p_u; q_i]`; a task's output reads its own tower, mixed at last."""

    def __init__(self, nodes: NodeMap, config: CrossStitchConfig, tasks: Sequence[int]) -> None:
        hidden, count = config.hidden, max(tasks) + 1
        super().__init__(nodes, config.embedding_size, tasks, count * max(hidden))
        self.first = StackedPairLinear(count, config.embedding_size, hidden[0])
        self.rest = nn.ModuleList(StackedLinear(count, *widths) for widths in pairwise(hidden))
        *inner, self.last = (Stitch(count, config.own_share, config.stitch_rate) for _ in hidden)
        self.stitches = nn.ModuleList(inner)
        self.heads = StackedLinear(count, hidden[-1], 1)
        self.dropout = config.dropout

    def shared(self, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        """Last activations of all towers before they are mixed."""
        z = activate(self.first(p, q), self.dropout, self.training)
        for stitch, layer in zip(self.stitches, self.rest, strict=True):
            z = activate(layer(stitch(z)), self.dropout, self.training)
        return (z,)

    def output(self, task: int, *shared: Tensor) -> Tensor:
        """Logits of a task; of the last mixture, only the task's own part is made."""
        (z,) = shared
        # The head is linear: it looks at the towers first, so their mixture is of numbers.
        seen = z @ self.heads.weight[task, :, 0]
        mixture = torch.tensordot(self.last.shares()[task], seen, dims=1)
        return mixture + self.heads.bias[task, 0, 0]  # type: ignore[no-any-return]


class CrossStitch(MultiTaskRecommender):
    """Towers with learned mixtures of their activations (Misra et al. 2016).

    Every pair runs through the towers of all markets; after every hidden layer
    `x~_k = sum_t a_kt x_t`; the logit is that of the tower of the user's market. All towers read
    the same tables. ACMR averages tables of the markets; an average that is always read as a whole
    is one table, so there is one. The layers are a perceptron, M3Rec's too, whose encoder is said
    to be like NeuMF but given by its perceptron alone.
    """

    name = "cross-stitch"
    summary = "a tower for each market, mixed after every layer"
    paper = "Misra et al. 2016"
    config_class: ClassVar[type[ModelConfig]] = CrossStitchConfig
    presets: ClassVar = {"paper": {}, "acmr": {"tasks": "target"}, "m3rec": M3REC_ENCODER}
    config: CrossStitchConfig

    def _build(self, tasks: Sequence[int]) -> CrossStitchNetwork:
        return CrossStitchNetwork(self._nodes, self.config, tasks)
