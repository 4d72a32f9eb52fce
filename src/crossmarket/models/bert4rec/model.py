"""BERT4Rec on one market or on all of them."""

from __future__ import annotations

from typing import ClassVar

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.bert4rec.masking import MaskedSequenceSampler
from crossmarket.models.bert4rec.network import Bert4RecConfig, Bert4RecNetwork
from crossmarket.models.config import ModelConfig
from crossmarket.models.network import (
    NetworkTask,
    data_key,
    fit_network,
    seeded,
    settle,
    stage_kind,
)
from crossmarket.models.presets import SINGLE_AND_MERGED
from crossmarket.models.sequential import SequenceScorer, SequentialRecommender
from crossmarket.models.validation import validation_on
from crossmarket.training.histories import Histories


class Bert4Rec(SequentialRecommender):
    """Masked item prediction by a bidirectional transformer (Sun et al. 2019).

    `h^0 = e_item + p_position`, post-norm encoder layers, and `softmax(GELU(h W + b) E^T + b_o)`
    over all items at each masked position; at test [MASK] is appended to the history. Masks are
    drawn anew each epoch and replace the item always; the rate of Adam is constant, without the
    original's warm-up, decay and weight decay.

    Sequences are what is left of a split for training, by date; with a split at random what was
    held out may lie between two items of a sequence.
    """

    name = "bert4rec"
    summary = "bidirectional transformer that fills in masked items"
    paper = "Sun et al. 2019"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = Bert4RecConfig
    presets: ClassVar = SINGLE_AND_MERGED
    config: Bert4RecConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        config, options = self.config, self.options
        markets = train.markets if config.markets == "merged" else (self.target,)
        nodes = map_nodes(train, markets)
        with seeded(options.seed):
            network = Bert4RecNetwork(len(nodes.items), config).to(options.device)

        def make_task(network: Bert4RecNetwork) -> NetworkTask:
            histories = Histories.of(train, nodes, markets)
            sampler = MaskedSequenceSampler(train, nodes, config, options.device)
            validation = validation_on(train, valid, markets, config.validation_users)
            return NetworkTask(
                network,
                sampler.batches,
                lambda batch: batch.losses(network),
                validation,
                SequenceScorer(network, nodes, histories, options.device),
            )

        fitted = fit_network(
            network,
            config,
            options,
            kind=stage_kind(markets, self.name),
            inputs={"nodes": list(markets), **data_key(train, valid, markets)},
            make_task=make_task,
            weight_decay=config.reg,
        )
        self._nodes, self._fitted = nodes, fitted
        self._set_history(train)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted)
