"""Recommenders that tell observed pairs from sampled ones: a logit a pair, cross entropy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap, map_nodes
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig
from crossmarket.models.network import (
    FittedNetwork,
    NetworkConfig,
    NetworkTask,
    count_trainable,
    data_key,
    fit_network,
    seeded,
    settle,
    stage_kind,
)
from crossmarket.models.validation import MarketScores, validation_on
from crossmarket.training.examples import (
    Examples,
    ExampleSampler,
    MarketSampling,
    NegativePool,
)
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

P = TypeVar("P", bound="PairNetwork")

#: Presets of a system that papers run on the target alone and, as "++", on all markets.
SINGLE_AND_MERGED = {"single": {"markets": "target"}, "++": {"markets": "merged"}}


class PointwiseConfig(NetworkConfig):
    """Settings of systems trained on labelled pairs."""

    num_negatives: int = Field(
        4, ge=1, description="Sampled items of each positive. Source: FOREC and ACMR, 4."
    )
    sampling: MarketSampling = Field(
        "proportional",
        description="How markets share the steps: by size, equally many of each (small ones start "
        "over), or one market a step. Source: FOREC equal, ACMR proportional.",
    )
    negatives: NegativePool = Field(
        "market",
        description="Sample from the user's market or from all markets. Source: FOREC market, "
        "ACMR's code union.",
    )


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


def fit_pointwise(
    build: Callable[[], P],
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: PointwiseConfig,
    options: RunOptions,
    *,
    name: str,
    learn_from: Sequence[str] | None = None,
    judged: Sequence[str] | None = None,
) -> FittedNetwork[P]:
    """Train a pair network on labelled pairs.

    Parameters
    ----------
    build : callable
        Makes the network in its initial state; torch's generator is seeded.
    nodes : NodeMap
        Ids of the network's tables.
    train, valid : MarketDataset
        Training interactions; held-out ones for early stopping.
    config : PointwiseConfig
        Sampling and schedule.
    options : RunOptions
        Seed, threads, workspace.
    name : str
        What is trained, e.g. `nmf`; the stage is called after it and the markets it is for.
    learn_from : sequence of str, optional
        Markets whose positives are learned; all of `nodes` by default.
    judged : sequence of str, optional
        Markets whose mean validation metric decides; those learned from by default.
    """
    markets = list(nodes.markets if learn_from is None else learn_from)
    looked_at = list(markets if judged is None else judged)
    with seeded(options.seed):
        network = build().to(options.device)

    def make_task(network: P) -> NetworkTask:
        positives = PositiveSampler(train, nodes, markets)
        sampler = ExampleSampler(
            positives,
            config.num_negatives,
            sampling=config.sampling,
            negatives=config.negatives,
            device=options.device,
        )
        validation = validation_on(train, valid, looked_at, config.validation_users)
        return NetworkTask(
            network,
            lambda generator: sampler.batches(config.batch_size, generator),
            network.losses,
            validation,
            PairScorer(network, nodes, options.device),
        )

    return fit_network(
        network,
        config,
        options,
        kind=stage_kind(looked_at, name),
        inputs={"nodes": list(nodes.markets), **data_key(train, valid, markets, looked_at)},
        make_task=make_task,
        weight_decay=config.reg,
    )


class MarketsConfig(PointwiseConfig):
    """Settings of systems that run on the target alone or on all markets together."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose pairs are learned; merged is the '++' version."
    )


class PointwiseRecommender(Recommender):
    """A pair network trained on labelled pairs; a system writes `_learn`.

    Trained on all markets, one network serves every target and its training is shared; the mean
    validation metric over the markets decides when it stops.
    """

    uses_sources = True
    config: PointwiseConfig

    def _markets(self, train: MarketDataset) -> tuple[str, ...]:
        """Markets whose pairs the network learns."""
        alone = getattr(self.config, "markets", "merged") == "target"
        return (self.target,) if alone else train.markets

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        self._nodes = map_nodes(train, self._markets(train))
        self._fitted = self._learn(train, valid)
        network = self._fitted.network
        self._scores: MarketScores = PairScorer(network, self._nodes, self.options.device)

    @abstractmethod
    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[PairNetwork]:
        """Train the network over `self._nodes`: by `_fit_pointwise`, or stage by stage."""

    def _fit_pointwise(
        self,
        build: Callable[[], P],
        train: MarketDataset,
        valid: MarketDataset | None,
        *,
        learn_from: Sequence[str] | None = None,
        judged: Sequence[str] | None = None,
    ) -> FittedNetwork[P]:
        """Train a network on the system's own settings, see `fit_pointwise`."""
        return fit_pointwise(
            build,
            self._nodes,
            train,
            valid,
            self.config,
            self.options,
            name=self.name,
            learn_from=learn_from,
            judged=judged,
        )

    def _scorable(self) -> Rows:
        return self._nodes.items

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._scores(self.target, users, items)

    def _score_lists(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._scores(self.target, users, items)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted)

    def num_trainable(self) -> int:
        """Count every scalar that is not frozen."""
        return count_trainable(self._fitted.network)
