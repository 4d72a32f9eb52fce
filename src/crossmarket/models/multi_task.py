"""What multi-task systems share: tables of users and items, layers side by side, own outputs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.layers import embedding
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pairs import PairNetwork
from crossmarket.models.pointwise import PointwiseConfig, PointwiseRecommender
from crossmarket.training.examples import Examples

#: Activations of a layer, over all towers or experts, that scoring holds at once.
ACTIVATIONS = 4_194_304

#: Base encoder of M3Rec's comparison, in which every system has it.
M3REC_ENCODER = {
    "embedding_size": 128,
    "hidden": (512, 1024, 128),
    "num_negatives": 10,
    "epochs": 100,
    "reg": 0.0,
}


class MarketTowersConfig(PointwiseConfig):
    """Settings of systems with parts of their own for each market, as ACMR runs its baselines."""

    embedding_size: int = Field(
        32, ge=1, description="Width of a vector. Source: ACMR, 8 to 128; M3Rec, 128."
    )
    hidden: tuple[int, ...] = Field(
        (64, 32),
        min_length=1,
        description="Widths of the layers over user and item. Source: M3Rec (512, 1024, 128); "
        "ours 2d and d.",
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of activations dropped. Source: ACMR and M3Rec, 0.3."
    )
    reg: float = Field(1e-7, ge=0, description="Weight decay of Adam. Source: ACMR, 1e-5 to 1e-7.")
    epochs: int = Field(50, ge=0, description="Most epochs. Source: ACMR, 50; M3Rec, 100.")


class MultiTaskConfig(MarketTowersConfig):
    """Settings of systems whose tasks may also be the target and all other markets."""

    tasks: Literal["markets", "target"] = Field(
        "markets",
        description="A task for each market, one training for all targets; or two tasks, the "
        "target and all others, one training a target. Source: M3Rec markets, ACMR target.",
    )


class StackedLinear(nn.Module):
    """Linear layers side by side, each over its own slice of the input.

    Parameters
    ----------
    count : int
        Number of layers.
    before, after : int
        Widths of a layer's input and output.
    """

    def __init__(self, count: int, before: int, after: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, before, after))
        self.bias = nn.Parameter(torch.zeros(count, 1, after))
        nn.init.uniform_(self.weight, -(before**-0.5), before**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Map float [count, ..., before] to float [count, ..., after]."""
        rows = x.reshape(len(x), -1, x.shape[-1])
        out = torch.baddbmm(self.bias, rows, self.weight)
        return out.view(*x.shape[:-1], self.bias.shape[-1])


class StackedPairLinear(StackedLinear):
    """Linear layers side by side, all over the same `[p; q]`, of which both need only broadcast.

    Parameters
    ----------
    count : int
        Number of layers.
    width : int
        Width of `p` and of `q`.
    after : int
        Width of a layer's output.
    """

    def __init__(self, count: int, width: int, after: int) -> None:
        super().__init__(count, 2 * width, after)
        self.width = width

    def forward(self, p: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        """Return `W_k [p; q] + b_k`, float [count, ..., after]."""
        left, right = self.weight[:, : self.width], self.weight[:, self.width :]
        count, _, after = self.weight.shape
        rows = p.reshape(-1, self.width).expand(count, -1, -1)
        first = torch.baddbmm(self.bias, rows, left).view(count, *p.shape[:-1], after)
        second = q.reshape(-1, self.width) @ right
        return first + second.view(count, *q.shape[:-1], after)


class MultiTaskNetwork(PairNetwork):
    """A shared part over all pairs, and an output for each task.

    Parameters
    ----------
    nodes : NodeMap
        Ids of the tables, which all tasks share.
    width : int
        Width of a vector.
    tasks : sequence of int
        Task of each market of `nodes`.
    widest : int
        Activations that a pair has in the widest layer.
    """

    def __init__(self, nodes: NodeMap, width: int, tasks: Sequence[int], widest: int) -> None:
        super().__init__()
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)
        self.tasks = tuple(tasks)
        self.num_tasks = max(tasks) + 1
        self.pairs_at_once = max(1, ACTIVATIONS // widest)

    @abstractmethod
    def shared(self, p: Tensor, q: Tensor) -> tuple[Tensor, ...]:
        """What all tasks look at, tensors [count, ..., width] for vectors [..., d]."""

    @abstractmethod
    def output(self, task: int, *shared: Tensor) -> Tensor:
        """Logits of a task, float [...], from the shared tensors [count, ..., width]."""

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        return self.output(self.tasks[market], *self.shared(self.users(users), self.items(items)))

    def logits(self, examples: Examples) -> Tensor:
        """Logits of a step's examples: the shared part once, then each market's own output."""
        shared = self.shared(self.users(examples.users), self.items(examples.items))
        sizes = [end - start for start, end, _ in examples.runs]
        parts = zip(*(torch.split(tensor, sizes, dim=1) for tensor in shared), strict=True)
        return torch.cat(
            [
                self.output(self.tasks[market], *part)
                for (_, _, market), part in zip(examples.runs, parts, strict=True)
            ]
        )


class MultiTaskRecommender(PointwiseRecommender):
    """Learns the pairs of all markets at once, each as the task of its market.

    The joint loss is the sum of the tasks' losses, taken as the mean over all examples of a step.
    With a task for each market one training serves every target. With the two tasks of ACMR,
    target and others, each target has its own, selected on that target.
    """

    family = "multi-task"
    config: MultiTaskConfig

    @abstractmethod
    def _build(self, tasks: Sequence[int]) -> MultiTaskNetwork:
        """Make the network over `self._nodes` in its initial state."""

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[MultiTaskNetwork]:
        markets = self._nodes.markets
        tasks, judged = list(range(len(markets))), None
        if self.config.tasks == "target" and len(markets) > 1:
            tasks, judged = [int(market != self.target) for market in markets], [self.target]
        return self._fit_pointwise(lambda: self._build(tasks), train, valid, judged=judged)
