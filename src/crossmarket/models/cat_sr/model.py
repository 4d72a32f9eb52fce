"""CAT-SR: pre-trained on other markets, of which queries and keys are carried over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.propagation import propagate
from crossmarket.models.cat_sr.network import CatSRNetwork, CatSRNetworkConfig
from crossmarket.models.cat_sr.prefixes import PrefixSampler, rarity_weights
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.network import (
    FittedNetwork,
    NetworkTask,
    data_key,
    fit_network,
    seeded,
    settle,
)
from crossmarket.models.objectives import as_similarity
from crossmarket.models.presets import SOFTMAX_TABLES
from crossmarket.models.sequential import SequenceScorer, SequentialRecommender
from crossmarket.models.tables import TableConfig, fit_tables
from crossmarket.models.transformer import check_heads
from crossmarket.models.validation import validation_on
from crossmarket.training.histories import Histories

#: Item vectors of the merged LightGCN's default, so that both share one training.
_VECTORS = {"vectors": SOFTMAX_TABLES}


class CatSRConfig(CatSRNetworkConfig):
    """Settings of `CatSR`; its own schedule is that of the target."""

    vectors: TableConfig = Field(
        TableConfig(),
        description="LightGCN on all markets whose item vectors are read. Source: ours; CAT-SR "
        "has vectors of the items' texts.",
    )
    pretraining: TrainingConfig | None = Field(
        TrainingConfig(epochs=200),
        description="Schedule on the sources; null for queries and keys that start fresh and are "
        "trained. Source: CAT-SR, 200 epochs.",
    )
    sources: Literal["others", "all"] = Field(
        "others",
        description="Pre-train on the other markets, or on all of them, the target's training "
        "rows included, once for every target. Source: CAT-SR, another market.",
    )
    adapters: bool = Field(
        True, description="Adapt queries and keys to the target. Source: CAT-SR, yes."
    )
    rarity_offset: float = Field(
        1.2, gt=1, description="a of the pre-training's weights. Source: CAT-SR, 1.2."
    )
    rarity_slope: float = Field(
        0.99,
        ge=0,
        description="b of the pre-training's weights; 0 for equal ones. Source: CAT-SR, 0.99.",
    )

    @field_validator("vectors")
    @classmethod
    def _heads(cls, value: TableConfig, info: ValidationInfo) -> TableConfig:
        check_heads(info.data.get("num_heads", 1), value.embedding_size)
        return value


class CatSR(SequentialRecommender):
    """One-layer causal attention over frozen item vectors (Wang et al. 2024).

    Pre-trained on the sources by a weighted cross entropy, `sum w_b CE_b / sum w_b` with
    `w = a - tanh(b (freq - 1))`; the target's network takes the query and key projections,
    frozen, after its own initialisation, and learns all else by plain cross entropy: adapters
    `ReLU(Q A_Q + c_Q)`, values, output, feed-forward part, positions. The softmax ranges over
    the catalogue of the sequence's market. The authors' script re-initialises what it loads and
    leaves the adapters out, so that it transfers nothing; the preset "as-released" does.

    There are no texts: the item vectors are those of a LightGCN on all training interactions,
    so even without pre-training the sources reach the target through them. A frequency counts
    the interactions in all markets pre-trained on. One pass gives every prefix; of a history
    longer than `max_length` + 1 the oldest prefixes are not learned.
    """

    name = "cat-sr"
    summary = "causal attention over frozen item vectors, queries and keys carried over"
    paper = "Wang et al. 2024"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = CatSRConfig
    presets: ClassVar = {
        "default": _VECTORS,
        "all-markets": {**_VECTORS, "sources": "all"},
        "as-released": {**_VECTORS, "pretraining": None, "adapters": False},
        "no-adapters": {**_VECTORS, "adapters": False},
        "equal-weights": {**_VECTORS, "rarity_slope": 0.0},
    }
    config: CatSRConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        settings = self.config.part(CatSRNetworkConfig)
        vectors = self._item_vectors(train, valid)
        self._pretrained = self._pretrain(train, valid, settings, vectors)
        with seeded(self.options.seed):
            network = CatSRNetwork(vectors, settings, adapters=self.config.adapters)
        if self._pretrained is not None:
            network.carry_over(self._pretrained.network)
        self._fitted = self._learn(
            network, train, valid, settings, (self.target,), f"{self.target}-{self.name}"
        )
        self._set_history(train)

    def _item_vectors(self, train: MarketDataset, valid: MarketDataset | None) -> Tensor:
        """Propagated vectors of all items, float32 [num_items, d]; trained once for all targets."""
        settings = self.config.vectors
        self._tables = fit_tables(
            train, valid, train.markets, settings, self.options, kind="backbone"
        )
        self._nodes = self._tables.nodes
        graph = self._nodes.graph_of(train)
        vectors = propagate(graph, self._tables.layer0.cpu(), settings.num_layers)
        return as_similarity(vectors[self._nodes.num_users :], settings.similarity)

    def _pretrain(
        self,
        train: MarketDataset,
        valid: MarketDataset | None,
        settings: CatSRNetworkConfig,
        vectors: Tensor,
    ) -> FittedNetwork[CatSRNetwork] | None:
        config = self.config
        everywhere = config.sources == "all"
        markets = tuple(name for name in train.markets if everywhere or name != self.target)
        if config.pretraining is None or not markets:
            return None
        with seeded(self.options.seed):
            network = CatSRNetwork(vectors, settings, adapters=False)
        return self._learn(
            network,
            train,
            valid,
            settings.model_copy(update=config.pretraining.model_dump()),
            markets,
            f"{self.name}-pretraining",
            rarity=(config.rarity_offset, config.rarity_slope),
        )

    def _learn(
        self,
        network: CatSRNetwork,
        train: MarketDataset,
        valid: MarketDataset | None,
        settings: CatSRNetworkConfig,
        markets: Sequence[str],
        kind: str,
        rarity: tuple[float, float] | None = None,
    ) -> FittedNetwork[CatSRNetwork]:
        """Train on the sequences of some markets; `rarity` weighs rare targets more."""
        nodes, device = self._nodes, self.options.device

        def make_task(network: CatSRNetwork) -> NetworkTask:
            histories = Histories.of(train, nodes, markets)
            weights = np.ones(len(nodes.items), dtype=np.float32)
            if rarity is not None:
                counts = np.bincount(histories.items, minlength=len(nodes.items))
                weights = rarity_weights(counts, *rarity)
            sampler = PrefixSampler(train, nodes, markets, weights, settings, device)
            validation = validation_on(train, valid, markets, settings.validation_users)
            return NetworkTask(
                network,
                sampler.batches,
                lambda batch: batch.losses(network),
                validation,
                SequenceScorer(network, nodes, histories, device),
            )

        return fit_network(
            network.to(device),
            settings,
            self.options,
            kind=kind,
            inputs={
                "nodes": list(nodes.markets),
                "rarity": rarity,
                **data_key(train, valid, markets),
            },
            make_task=make_task,
            weight_decay=settings.reg,
        )

    def _settled_config(self) -> ModelConfig:
        settled = settle(self.config, self._fitted, pretraining=self._pretrained)
        vectors = self.config.vectors.model_copy(update={"epochs": self._tables.trained.best_epoch})
        return settled.model_copy(update={"vectors": vectors})
