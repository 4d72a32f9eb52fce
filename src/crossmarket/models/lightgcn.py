"""LightGCN on one market or on all of them merged."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.config import ModelConfig
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.presets import SOFTMAX_TABLES
from crossmarket.models.tables import TableConfig, fit_tables


class LightGCNConfig(TableConfig):
    """Settings of `LightGCN`."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose edges make the graph. Source: DCMPT target, M3Rec merged."
    )


class LightGCN(EmbeddingRecommender):
    """Propagated embeddings over the user-item graph (He et al. 2020).

    With `markets="merged"` one training over all markets serves every target; its stage is the
    backbone that DCMPT pre-trains, so both share it when their settings agree.
    """

    name = "lightgcn"
    summary = "linear graph propagation of embeddings"
    paper = "He et al. 2020"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = LightGCNConfig
    presets: ClassVar = {"paper": {}, "default": SOFTMAX_TABLES}
    uses_sources = True
    config: LightGCNConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        merged = self.config.markets == "merged"
        markets = train.markets if merged else (self.target,)
        settings = self.config.part(TableConfig)
        kind = "backbone" if merged else f"{self.target}-teacher"
        self._tables = fit_tables(train, valid, markets, settings, self.options, kind=kind)
        self._set_history(train)

    def _set_history(self, history: MarketDataset) -> None:
        nodes = self._tables.nodes
        graph = nodes.graph_of(history)
        layer0 = self._tables.layer0.cpu()
        self._set_vectors(nodes, layer0, graph, self.config.num_layers, self.config.similarity)

    def _shares_items(self) -> bool:
        return self.config.markets == "merged"

    def _settled_config(self) -> ModelConfig:
        return self.config.model_copy(update={"epochs": self._tables.trained.best_epoch})

    def num_trainable(self) -> int:
        """Count every scalar of the table."""
        return self._tables.layer0.numel()
