"""MAML: neural matrix factorisation that one gradient step adapts to a market."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.config import ModelConfig
from crossmarket.models.meta_learning import meta_loss
from crossmarket.models.network import (
    FittedNetwork,
    NetworkConfig,
    NetworkTask,
    data_key,
    fit_network,
    settle,
    stage_config,
    stage_kind,
)
from crossmarket.models.nmf import NMFConfig, NMFNetwork, fit_nmf
from crossmarket.models.pairs import PairScorer
from crossmarket.models.pointwise import PointwiseRecommender
from crossmarket.models.validation import validation_on
from crossmarket.training.examples import Examples, ExampleSampler, MarketSampling
from crossmarket.training.loop import epoch_generator
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

#: Rows of FOREC's validation lists, of which one is the held-out item.
_LIST_LENGTH = 100


class StageConfig(NetworkConfig):
    """Settings of a training that comes before the last one."""

    learning_rate: float = Field(1e-2, gt=0, description="Rate of Adam. Source: FOREC, 0.01.")
    reg: float = Field(1e-7, ge=0, description="Weight decay of Adam. Source: FOREC, 1e-7.")
    epochs: int = Field(25, ge=0, description="Most epochs. Source: FOREC's code, 25.")


class PretrainedNMFConfig(NMFConfig):
    """Settings of systems that start from an NMF."""

    nmf: StageConfig = Field(
        StageConfig(), description="Training of the NMF that is the start. Source: FOREC."
    )
    sampling: MarketSampling = Field(
        "equal",
        description="How markets share the NMF's steps: by size, equally many of each (small ones "
        "start over), or one market a step. Source: FOREC, equal.",
    )


class MetaConfig(PretrainedNMFConfig):
    """Settings of meta-learning, for `MAML` and what starts from it."""

    shots: int = Field(
        20, ge=1, description="Rows of a market that adapt, and that judge. Source: FOREC, 20."
    )
    inner_rate: float = Field(
        0.1, gt=0, description="Rate of the adapting gradient step. Source: FOREC, 0.1."
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="Most steps of an epoch; by default the largest market is gone through once. "
        "Source: FOREC's code, once.",
    )


class MAMLConfig(MetaConfig):
    """Settings of `MAML`; `learning_rate` is that of the outer step."""

    test_adapt: Literal["none", "valid20"] = Field(
        "none",
        description="Score as learned, or after a step on `shots` rows of the target's validation "
        "lists, whose metrics then tell nothing. Source: FOREC's code, valid20.",
    )


class MAML(PointwiseRecommender):
    """Model-agnostic meta-learning (Finn et al. 2017) of a trained NMF, as in FOREC.

    Each step draws rows `a_m` and `e_m` of every market m and descends the mean over m of
    `L(theta - alpha * grad L(theta; a_m); e_m)`, second derivatives included. The paper's text
    and code name the rates differently; as in the code `alpha` is 0.1 and Adam's rate 0.01. A
    positive keeps its negatives beside it, so `shots` rows are `shots / (1 + num_negatives)`
    positives.
    """

    name = "maml"
    summary = "neural matrix factorisation, meta-learned over markets"
    paper = "Finn et al. 2017"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = MAMLConfig
    config: MAMLConfig

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[NMFNetwork]:
        settings = self.config.part(MetaConfig)
        self._stages = fit_maml(self._nodes, train, valid, settings, self.options)
        learned: FittedNetwork[NMFNetwork] = self._stages["maml"]
        if self.config.test_adapt == "none" or valid is None:
            return learned
        network = self._adapted(learned.network, valid)
        return FittedNetwork(network, learned.stage_hash, learned.trained)

    def _adapted(self, network: NMFNetwork, valid: MarketDataset) -> NMFNetwork:
        """A copy after one step on rows that are mostly sampled items, as FOREC's lists are."""
        held_out = PositiveSampler(valid, self._nodes, [self.target])
        moved = deepcopy(network)
        if not len(held_out):
            return moved
        generator = epoch_generator(self.options.seed, f"{self.target}-adapt", 0)
        batch = held_out.batch(generator.integers(len(held_out), size=self.config.shots))
        labels = generator.random(len(batch.users)) < 1 / _LIST_LENGTH
        sampled = held_out.pairwise(batch, 1, generator)[:, 0]
        items = np.where(labels, batch.items, sampled) - self._nodes.num_users
        device = self.options.device
        logits = moved(
            torch.from_numpy(batch.users).to(device), torch.from_numpy(items).to(device), 0
        )
        wanted = torch.from_numpy(labels).float().to(device)
        loss = F.binary_cross_entropy_with_logits(logits, wanted)
        parameters = list(moved.parameters())
        slopes = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.sub_(self.config.inner_rate * slope)
        return moved

    def _settled_config(self) -> ModelConfig:
        earlier = {name: stage for name, stage in self._stages.items() if name != "maml"}
        return settle(self.config, self._stages["maml"], **earlier)


def fit_maml(
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: MetaConfig,
    options: RunOptions,
) -> dict[str, FittedNetwork[Any]]:
    """Train an NMF, then meta-learn it over the markets of `nodes`; both serve every target.

    Returns
    -------
    dict of stage to its training, in that order: `gmf` and `mlp` if asked for, `nmf`, `maml`.
    """
    stages = fit_nmf(nodes, train, valid, stage_config(NMFConfig, config, config.nmf), options)
    markets = nodes.markets

    def make_task(network: NMFNetwork) -> NetworkTask:
        positives = PositiveSampler(train, nodes)
        sampler = ExampleSampler(
            positives,
            config.num_negatives,
            sampling="equal",
            negatives=config.negatives,
            device=options.device,
        )
        width = 1 + config.num_negatives
        share = 2 * width * max(1, config.shots // width)
        size = share * len(np.unique(positives.markets))

        def batches(generator: np.random.Generator) -> Iterator[Examples]:
            return islice(sampler.batches(size, generator), config.steps)

        validation = validation_on(train, valid, markets, config.validation_users)
        return NetworkTask(
            network,
            batches,
            lambda examples: {"loss": meta_loss(network, examples, config.inner_rate)},
            validation,
            PairScorer(network, nodes, options.device),
        )

    maml = fit_network(
        deepcopy(stages.nmf.network),
        config,
        options,
        kind=stage_kind(markets, MAML.name),
        inputs={"nodes": list(markets), **data_key(train, valid, markets)},
        make_task=make_task,
        weight_decay=config.reg,
    )
    return {**stages.by_name(), "maml": maml}
