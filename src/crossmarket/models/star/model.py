"""STAR, and how often its examples show each user and item."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.multi_task import M3REC_ENCODER
from crossmarket.models.network import FittedNetwork
from crossmarket.models.pointwise import PointwiseRecommender
from crossmarket.models.star.network import StarConfig, StarNetwork
from crossmarket.training.examples import NegativePool


class Star(PointwiseRecommender):
    """Star topology adaptive recommender (Sheng et al. 2021), a domain for each market.

    The logit is that of the star network over the normalised `z = [p_u; q_i; e_m]`, plus that of
    an auxiliary network over `z` itself. In training, `z` is normalised by the mean and variance
    of a step's examples of one market. The original scores by moving averages of these; here a
    market's mean and variance over all its training examples are computed exactly from the
    tables: a user counts as often as its interactions, an item as often as it is observed and
    expected to be drawn.
    """

    name = "star"
    summary = "weights of each market times weights of all, inputs normalised by market"
    paper = "Sheng et al. 2021"
    family = "multi-task"
    config_class: ClassVar[type[ModelConfig]] = StarConfig
    presets: ClassVar = {"paper": {}, "m3rec": M3REC_ENCODER}
    config: StarConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[StarNetwork]:
        nodes, config = self._nodes, self.config
        shares = [
            example_shares(train, nodes, market, config.num_negatives, config.negatives)
            for market in nodes.markets
        ]
        users, items = [list(part) for part in zip(*shares, strict=True)]
        return self._fit_pointwise(lambda: StarNetwork(nodes, config, users, items), train, valid)


def example_shares(
    train: MarketDataset,
    nodes: NodeMap,
    market: str,
    num_negatives: int,
    negatives: NegativePool,
) -> tuple[Tensor, Tensor]:
    """Share of each user and each item among the labelled examples of a market.

    Returns
    -------
    float32 [nodes.num_users], float32 [len(nodes.items)], each adding up to 1. Of an item: the
    observed examples, and what is expected of negatives drawn from the pool minus the user's own.
    """
    users, items = nodes.edges_of(train, [market])
    items = items - nodes.num_users
    total = max(1, len(users))
    degrees = np.bincount(users, minlength=nodes.num_users)
    pool = np.arange(len(nodes.items))
    if negatives == "market":
        pool = nodes.item_nodes(train.catalogue(market)) - nodes.num_users
    unseen = np.maximum(len(pool) - degrees, 1)
    # Each user spreads its negatives evenly over the pool, then takes back its own items.
    drawn = np.zeros(len(nodes.items))
    drawn[pool] = (degrees / unseen).sum()
    drawn -= np.bincount(items, (degrees / unseen)[users], minlength=len(nodes.items))
    observed = np.bincount(items, minlength=len(nodes.items))
    spread = (observed + num_negatives * drawn) / (1 + num_negatives)
    return _tensor(degrees / total), _tensor(spread / total)


def _tensor(shares: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(shares.astype(np.float32))
