"""The network of STAR: normalisation, layers and weights of each market."""

from __future__ import annotations

from itertools import pairwise

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.layers import PairLinear, activate, embedding
from crossmarket.models.multi_task import ACTIVATIONS, MarketTowersConfig
from crossmarket.models.pairs import PairNetwork
from crossmarket.training.examples import MarketSampling

_EPS = 1e-5


class StarConfig(MarketTowersConfig):
    """Settings of `Star`."""

    sampling: MarketSampling = Field(
        "one",
        description="How markets share the steps; statistics of a step are those of one market. "
        "Source: Sheng et al. 2021, one market a step.",
    )
    auxiliary: int = Field(
        16, ge=1, description="Width of the auxiliary network's hidden layer. Source: none; ours."
    )


class StarLinear(nn.Module):
    """Linear layer whose weights are those of all markets times those of one.

    `W*_m = W * W_m` and `b*_m = b + b_m`, with `W_m = 1` and `b_m = 0` at the start. Those of a
    market rest in the steps of others.
    """

    def __init__(self, before: int, after: int, num_markets: int) -> None:
        super().__init__()
        self.centre = nn.Linear(before, after)
        self.weights = nn.ParameterList(torch.ones(after, before) for _ in range(num_markets))
        self.biases = nn.ParameterList(torch.zeros(after) for _ in range(num_markets))

    def of(self, market: int) -> tuple[Tensor, Tensor]:
        """Weight [after, before] and bias [after] of a market."""
        weight = self.centre.weight * self.weights[market]
        return weight, self.centre.bias + self.biases[market]

    def forward(self, x: Tensor, market: int) -> Tensor:
        """Return `W*_m x + b*_m`."""
        return F.linear(x, *self.of(market))


class PartitionedNorm(nn.Module):
    """Scale `g * g_m` and shift `b + b_m` of inputs normalised by the statistics of a market."""

    def __init__(self, width: int, num_markets: int) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.gains = nn.ParameterList(torch.ones(width) for _ in range(num_markets))
        self.shifts = nn.ParameterList(torch.zeros(width) for _ in range(num_markets))

    def of(self, market: int) -> tuple[Tensor, Tensor]:
        """Scale and shift of a market, float [width]."""
        return self.gain * self.gains[market], self.shift + self.shifts[market]


class StarNetwork(PairNetwork):
    """Star layers over normalised `z = [p_u; q_i; e_m]`, plus a small shared network over `z`.

    Parameters
    ----------
    nodes : NodeMap
        Ids of the tables.
    config : StarConfig
        Widths and dropout.
    users, items : list of float32 [number of users], [number of items]
        How often each user and item of the tables occurs in the examples of a market: shares that
        add up to 1.
    """

    per_market = True

    def __init__(
        self, nodes: NodeMap, config: StarConfig, users: list[Tensor], items: list[Tensor]
    ) -> None:
        super().__init__()
        width, count = config.embedding_size, len(nodes.markets)
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)
        self.markets = embedding(count, width)
        self.norm = PartitionedNorm(3 * width, count)
        self.first = StarLinear(3 * width, config.hidden[0], count)
        self.rest = nn.ModuleList(StarLinear(*pair, count) for pair in pairwise(config.hidden))
        self.head = StarLinear(config.hidden[-1], 1, count)
        self.auxiliary = PairLinear(width, width, config.auxiliary)
        self.auxiliary_market = nn.Linear(width, config.auxiliary, bias=False)
        self.auxiliary_head = nn.Linear(config.auxiliary, 1)
        self.dropout = config.dropout
        self.pairs_at_once = max(1, ACTIVATIONS // max(config.hidden))
        # Shares follow from the data: they are no state.
        self.user_shares = nn.Buffer(torch.stack(users), persistent=False)
        self.item_shares = nn.Buffer(torch.stack(items), persistent=False)
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def train(self, mode: bool = True) -> StarNetwork:
        """Set the mode; statistics of the tables are computed anew after it."""
        self._known = {}
        return super().train(mode)

    def statistics(self, market: int) -> tuple[Tensor, Tensor]:
        """Mean and variance of `[p_u; q_i]` over a market's examples, float [2 d] each."""
        if market not in self._known:
            parts = []
            for table, shares in ((self.users, self.user_shares), (self.items, self.item_shares)):
                share = shares[market]
                mean = share @ table.weight
                parts.append((mean, share @ (table.weight - mean).square()))
            means, variances = zip(*parts, strict=True)
            self._known[market] = torch.cat(means), torch.cat(variances)
        return self._known[market]

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`."""
        p, q = self.users(users), self.items(items)
        e = self.markets.weight[market]
        return self._main(p, q, market) + self._side(p, q, e)

    def _main(self, p: Tensor, q: Tensor, market: int) -> Tensor:
        width = p.shape[-1]
        if self.training:
            both = torch.cat([p, q], dim=-1)
            mean, variance = both.mean(dim=0), both.var(dim=0, correction=0)
        else:
            mean, variance = self.statistics(market)
        gain, shift = self.norm.of(market)
        scale = gain[: 2 * width] / (variance + _EPS).sqrt()
        start = shift[: 2 * width] - mean * scale
        weight, bias = self.first.of(market)
        # Among examples of one market e_m never varies: normalised, it is the shift.
        bias = bias + weight[:, 2 * width :] @ shift[2 * width :]
        left, right = weight[:, :width], weight[:, width : 2 * width]
        z = F.linear(p * scale[:width] + start[:width], left, bias)
        z = z + F.linear(q * scale[width:] + start[width:], right)
        z = activate(z, self.dropout, self.training)
        for layer in self.rest:
            z = activate(layer(z, market), self.dropout, self.training)
        return self.head(z, market).squeeze(-1)  # type: ignore[no-any-return]

    def _side(self, p: Tensor, q: Tensor, e: Tensor) -> Tensor:
        z = torch.relu(self.auxiliary(p, q) + self.auxiliary_market(e))
        return self.auxiliary_head(z).squeeze(-1)  # type: ignore[no-any-return]
