"""Networks that give each (user, item) pair a logit, and their scores as arrays."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.training.examples import Examples


class PairNetwork(nn.Module):
    """A logit for each (user, item) pair."""

    #: Whether a pair's logit depends on the market apart from the ids.
    per_market: ClassVar[bool] = False
    #: Pairs scored at once: few enough that their activations stay in the caches.
    pairs_at_once: int = 32_768

    @abstractmethod
    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs of one market.

        Parameters
        ----------
        users, items : int64, shapes that broadcast
            User nodes, and positions of items among the item nodes; [n] and [n] in training,
            [n, 1] and [1, m] for all pairs, [n, 1] and [n, m] for lists.
        market : int
            Position of the market in the node map.

        Returns
        -------
        float32 of the broadcast shape.
        """

    def logits(self, examples: Examples) -> Tensor:
        """Logits of a step's examples, float32 [n]."""
        if not self.per_market:
            return self(examples.users, examples.items, 0)  # type: ignore[no-any-return]
        parts = [
            self(examples.users[start:end], examples.items[start:end], market)
            for start, end, market in examples.runs
        ]
        return torch.cat(parts)

    def losses(self, examples: Examples) -> dict[str, Tensor]:
        """Binary cross entropy, mean over the examples."""
        logits = self.logits(examples)
        return {"loss": F.binary_cross_entropy_with_logits(logits, examples.labels)}


class PairScorer:
    """Scores of a pair network as arrays, block by block.

    Parameters
    ----------
    network : PairNetwork
        In evaluation mode when called.
    nodes : NodeMap
        Which node is whom.
    device : str
        Where the network lives.
    """

    def __init__(self, network: PairNetwork, nodes: NodeMap, device: str) -> None:
        self.network, self.nodes, self.device = network, nodes, device

    def __call__(self, market: str, users: Rows, items: Rows) -> FloatMatrix:
        """Score item rows [m], or a list [n, m] for each user, for user rows [n]."""
        positions = self.nodes.item_nodes(items) - self.nodes.num_users
        shared = positions.ndim == 1
        columns = torch.from_numpy(np.atleast_2d(positions)).to(self.device)
        rows = torch.from_numpy(self.nodes.user_nodes(market, users)[:, None]).to(self.device)
        scores = np.empty((len(users), positions.shape[-1]), dtype=np.float32)
        step = max(1, self.network.pairs_at_once // max(1, positions.shape[-1]))
        place = self.nodes.markets.index(market)
        with torch.inference_mode():
            for start in range(0, len(users), step):
                block = slice(start, start + step)
                own = columns if shared else columns[block]
                scores[block] = self.network(rows[block], own, place).cpu().numpy()
        return scores
