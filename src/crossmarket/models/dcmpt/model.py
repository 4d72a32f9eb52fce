"""DCMPT: one frozen backbone, a few kilobytes of prompts for each market."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from crossmarket.artifact.forms import VectorForm
from crossmarket.artifact.forms.base import Place
from crossmarket.artifact.forms.vectors import Prompts
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import CrossmarketError
from crossmarket.graph.propagation import propagate
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.config import ModelConfig
from crossmarket.models.dcmpt.backbone import fit_teacher, pretrain
from crossmarket.models.dcmpt.config import DEFAULT, PAPER, DCMPTConfig, variants_of
from crossmarket.models.dcmpt.lists import DISTILLERS, NEEDS_VIEWS, Distiller
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import View, seen_matrix, view_market
from crossmarket.models.dcmpt.task import PromptTask, RankingDistillation
from crossmarket.models.embedding import EmbeddingRecommender, carry
from crossmarket.models.tables import Tables, tensor_hash
from crossmarket.models.validation import validation_on
from crossmarket.training.loop import SELECTION_METRIC
from crossmarket.training.loop import train as run_training
from crossmarket.training.sampling import PositiveSampler
from crossmarket.training.stage import Stage


class DCMPT(EmbeddingRecommender):
    """Distilled cross-market prompt-tuning (AAAI 2026).

    Stage 1 pre-trains LightGCN tables on the training edges of all markets and freezes them.
    Stage 2 trains a teacher on the target alone. Stage 3 tunes attention-mixed prompts, added to
    the frozen features before propagation over the target's graph, by
    `alpha * task + beta * WRD + gamma * AMRDD` (eq. 16). Presets: `paper`, `default`, and each
    ablation and control as `no-wrd` and so on (of the default) or `paper-no-wrd`.
    """

    name = "dcmpt"
    summary = "frozen multi-market backbone with distilled prompts"
    paper = "DCMPT, AAAI 2026"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = DCMPTConfig
    presets: ClassVar = {
        "default": DEFAULT,
        "paper": PAPER,
        **variants_of(DEFAULT),
        **{f"paper-{name}": values for name, values in variants_of(PAPER).items()},
    }
    uses_sources = True
    config: DCMPTConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        self._backbone = self._frozen_backbone(train, valid)
        self._bank: PromptBank | None = None
        self._teacher: Tables | None = None
        if self.config.prompt != "none":
            self._bank = self._tune_prompts(train, valid)
        self._set_history(train)
        counts = np.bincount(train.edges(self.target).items, minlength=len(train.items))
        self._log_counts = np.log1p(counts).astype(np.float32)
        self._popularity_weight = self._choose_popularity(valid)

    def _frozen_backbone(self, train: MarketDataset, valid: MarketDataset | None) -> Tables:
        return pretrain(self.config, train, valid, self.target, self.options)

    # -- stage 3 ----------------------------------------------------------------------------

    def _tune_prompts(self, train: MarketDataset, valid: MarketDataset | None) -> PromptBank:
        config, options = self.config, self.options
        view = view_market(config, train, self.target, self._backbone, options.device)
        bank = self._new_bank(view)
        distils = config.beta > 0 or config.gamma > 0
        teacher = None
        if distils:
            teacher = fit_teacher(config, train, valid, self.target, self._backbone, options)
            self._teacher = teacher[0]
        stage = Stage(options.workspace, f"{self.target}-prompts", self._key(train, valid, teacher))
        sampler = PositiveSampler(train, view.nodes)
        validation = validation_on(train, valid, [self.target])
        ranking, distiller = self._distillation(train, view, sampler, teacher)
        task = PromptTask(
            config, view, bank, sampler, validation, ranking, distiller, options.device
        )
        frozen = [self._backbone.layer0, *([teacher[1]] if teacher else [])]
        before = [tensor_hash(tensor) for tensor in frozen]
        self._trained = run_training(task, config.schedule(), options, stage)
        if [tensor_hash(tensor) for tensor in frozen] != before:
            raise CrossmarketError("a frozen tensor changed while the prompts were tuned")
        for tensor in bank.parameters().values():
            tensor.requires_grad_(False)
        return bank

    def _new_bank(self, view: View) -> PromptBank:
        generator = torch.Generator().manual_seed(self.options.seed)
        config = self.config
        bank = PromptBank.create(
            config.prompt,
            config.num_prompts,
            view.features.shape[1],
            generator,
            zeros=config.prompt_init == "zeros",
            attn_bias=config.attn_bias,
            split=config.split_banks,
        )
        for name, tensor in bank.parameters().items():
            setattr(bank, name, tensor.to(self.options.device))
        return bank

    def _key(
        self,
        train: MarketDataset,
        valid: MarketDataset | None,
        teacher: tuple[Tables, Tensor] | None,
    ) -> dict[str, object]:
        return {
            "train": train.fingerprint,
            "valid": None if valid is None else valid.select_markets([self.target]).fingerprint,
            "config": self.get_config(),
            "target": self.target,
            "seed": self.options.seed,
            "threads": self.options.threads,
            "device": self.options.device,
            "backbone": self._backbone.stage_hash,
            "teacher": teacher[0].stage_hash if teacher else None,
        }

    def _distillation(
        self,
        train: MarketDataset,
        view: View,
        sampler: PositiveSampler,
        teacher: tuple[Tables, Tensor] | None,
    ) -> tuple[RankingDistillation | None, Distiller | None]:
        config = self.config
        if teacher is None:
            return None, None
        ranking = None
        if config.beta > 0:
            seen = seen_matrix(train, view.nodes).to(self.options.device)
            ranking = RankingDistillation(config.wrd, teacher[1], seen)
        distiller = None
        if config.gamma > 0:
            # Without any source the weighted sum over sources is empty; only the target is left.
            mode = config.amrdd.mode if len(train.markets) > 1 else "target_only"
            sources = [name for name in train.markets if name != self.target]
            views = {
                name: view_market(config, train, name, self._backbone, self.options.device)
                for name in (sources if mode in NEEDS_VIEWS else [])
            }
            goal = config.task_objective()
            distiller = DISTILLERS[mode](
                train,
                sampler,
                teacher[1],
                config.amrdd.length,
                views,
                goal.similarity,
                goal.temperature,
            )
        return ranking, distiller

    # -- scoring ----------------------------------------------------------------------------

    def _set_history(self, history: MarketDataset) -> None:
        view = view_market(self.config, history, self.target, self._backbone, "cpu")
        self._view = view
        combined = self.config.graph == "combined"
        nodes = self._backbone.nodes if combined else view.nodes
        scale = view.table.new_ones(view.graph.num_nodes, 1).index_copy(0, view.rows, view.scale)
        added = torch.zeros(())
        if self._bank is not None and self.config.inject == "output":
            prompts = view.prompts(self._bank)
            added = torch.zeros_like(view.table).index_add(0, view.rows, prompts)
        self._set_vectors(
            nodes,
            view.prompted_table(self._bank),
            view.graph,
            view.num_layers,
            self.config.task_objective().similarity,
            lambda vectors: vectors * scale + added,
        )

    def serving_form(self) -> VectorForm:
        """Vectors with the share that the prompts have in them, and what tuning goes on from."""
        form = super().serving_form()
        offsets = None
        if self._popularity_weight:
            offsets = self._popularity_weight * self._log_counts[self.catalogue]
        return replace(
            form,
            offsets=offsets,
            prompts=self._prompt_shares(),
            strategy_name="backbone" if self._bank is None else "prompted",
            tuning=self._frozen_tables(),
        )

    def _prompt_shares(self) -> Prompts | None:
        """Mixtures as they reach the vectors: propagated, and in the scale of these."""
        bank, view = self._bank, self._view
        if bank is None:
            return None
        own = bank.mixture(view.features, view.nodes.num_users)
        spread = own.new_zeros(view.graph.num_nodes, own.shape[1]).index_add(0, view.rows, own)
        reached, carried = spread, torch.zeros_like(spread)
        if self.config.inject == "input":
            reached = propagate(view.graph, spread, view.num_layers)
            scaled = reached.index_select(0, view.rows) * view.scale
            reached = reached.index_copy(0, view.rows, scaled)
            carried = carry(view.graph, spread, view.num_layers)
        reached = reached / self._lengths
        start, num_users = self._nodes.user_starts[self.target], self._nodes.num_users
        return Prompts(
            bank.basis.cpu().numpy(),
            reached[start : start + len(self.users)].numpy(),
            reached[num_users:].numpy()[self._positions(self.catalogue)],
            carried[num_users:].numpy(),
        )

    def _frozen_tables(self) -> dict[Place, dict[str, FloatMatrix]]:
        """Rows of the frozen table and the attention; nothing where no backbone is shared."""
        nodes, table = self._backbone.nodes, self._backbone.layer0.cpu().numpy()
        if self._bank is None or len(nodes.items) < len(self.train.items):
            return {}
        attention = {"attention": self._bank.attention, "bias": self._bank.bias}
        own = nodes.user_nodes(self.target, np.arange(len(self.users)))
        return {
            "backbone": {"layer0": table[nodes.num_users :]},
            "users": {"layer0": table[own]},
            "adapter": {
                name: tensor.cpu().numpy()
                for name, tensor in attention.items()
                if tensor is not None
            },
        }

    def _choose_popularity(self, valid: MarketDataset | None) -> float:
        """The weight of the log training counts that is best on validation."""
        choices = self.config.popularity
        if len(choices) == 1 or valid is None:
            return choices[0]
        known = np.diff(self.history.indptr) > 0
        held_out = HeldOut(valid.matrix(self.target), self.history, self.catalogue, among=known)
        values = []
        for weight in choices:
            self._popularity_weight = weight
            scores = held_out.evaluate(
                lambda users: self._score(users, self.catalogue), [SELECTION_METRIC]
            )
            values.append(scores[SELECTION_METRIC].sum())
        return choices[int(np.argmax(values))]

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        scores = super()._score(users, items)
        if self._popularity_weight:
            scores += self._popularity_weight * self._log_counts[items]
        return scores

    def _settled_config(self) -> ModelConfig:
        update: dict[str, object] = {"popularity": (self._popularity_weight,)}
        backbone = self._backbone.trained.best_epoch
        update["backbone"] = self.config.backbone.model_copy(update={"epochs": backbone})
        if self._bank is not None:
            update["epochs"] = self._trained.best_epoch
        if self._teacher is not None:
            epochs = self._teacher.trained.best_epoch
            update["teacher"] = self.config.teacher.model_copy(update={"epochs": epochs})
        return self.config.model_copy(update=update)

    def num_trainable(self) -> int:
        """Count the scalars of basis prompts and attention."""
        tensors = self._bank.parameters().values() if self._bank is not None else ()
        return sum(tensor.numel() for tensor in tensors)
