"""Recommenders that tell observed pairs from sampled ones: a logit a pair, cross entropy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

from pydantic import Field

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
from crossmarket.models.pairs import PairNetwork, PairScorer
from crossmarket.models.validation import MarketScores, validation_on
from crossmarket.training.examples import (
    ExampleSampler,
    MarketSampling,
    NegativePool,
)
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

P = TypeVar("P", bound=PairNetwork)


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
