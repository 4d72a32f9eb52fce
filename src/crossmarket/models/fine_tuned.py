"""The fine-tuned backbone: the control that prompt-tuning wants to replace."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.config import ModelConfig
from crossmarket.models.dcmpt.backbone import fine_tune, pretrain
from crossmarket.models.dcmpt.config import DEFAULT, DCMPTConfig
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.tables import TableConfig


class FineTunedConfig(ModelConfig):
    """Settings of `FineTuned`."""

    backbone: TableConfig = Field(TableConfig(), description="Pre-training on all markets.")
    tuning: TableConfig = Field(
        TableConfig(), description="Objective and schedule on the target. Source: control (b)."
    )
    graph: Literal["target", "combined"] = Field(
        "target", description="Graph of the fine-tuning. Source: as DCMPT's."
    )


class FineTuned(EmbeddingRecommender):
    """LightGCN pre-trained on all markets, then trained on with every table entry free."""

    name = "fine-tuned"
    summary = "merged LightGCN, fine-tuned on the target"
    paper = "control"
    family = "control"
    config_class: ClassVar[type[ModelConfig]] = FineTunedConfig
    presets: ClassVar = {
        "paper": {},
        "default": {"backbone": DEFAULT["backbone"], "tuning": DEFAULT["backbone"]},
    }
    uses_sources = True
    config: FineTunedConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        stages = DCMPTConfig(backbone=self.config.backbone)
        self._backbone = pretrain(stages, train, valid, self.target, self.options)
        self._tables = fine_tune(
            train,
            valid,
            self.target,
            self._backbone,
            self.config.tuning,
            self.options,
            combined=self.config.graph == "combined",
        )
        self._set_history(train)

    def _set_history(self, history: MarketDataset) -> None:
        nodes, settings = self._tables.nodes, self.config.tuning
        self._set_vectors(
            nodes,
            self._tables.layer0.cpu(),
            nodes.graph_of(history),
            settings.num_layers,
            settings.similarity,
        )

    def _settled_config(self) -> ModelConfig:
        backbone, tuning = self._backbone.trained.best_epoch, self._tables.trained.best_epoch
        return FineTunedConfig(
            backbone=self.config.backbone.model_copy(update={"epochs": backbone}),
            tuning=self.config.tuning.model_copy(update={"epochs": tuning}),
            graph=self.config.graph,
        )

    def num_trainable(self) -> int:
        """Count every scalar of the fine-tuned tables."""
        return self._tables.layer0.numel()
