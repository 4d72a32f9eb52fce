"""Training of the prompts: task loss, WRD and AMRDD over frozen tables (eq. 16)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossmarket.models.dcmpt.config import DCMPTConfig, WRDConfig
from crossmarket.models.dcmpt.distillation import (
    ranks_among,
    sampled_ranks,
    wrd_loss,
    wrd_weights,
)
from crossmarket.models.dcmpt.lists import Distiller, Lists
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import View
from crossmarket.models.objectives import as_similarity, squared_norm
from crossmarket.models.tables import PairBatch, PairObjective
from crossmarket.models.validation import Validation, vector_scores
from crossmarket.training.sampling import PositiveSampler

_CENTRE_SAMPLE = 100
_TEACHER_BLOCK = 1024


class RankingDistillation:
    """WRD over the target's users (eq. 5-9).

    Parameters
    ----------
    config : WRDConfig
        List length and weights.
    teacher : float32 [n, d]
        Teacher vectors of the target's nodes.
    seen : bool [users, items]
        Training interactions.
    """

    def __init__(self, config: WRDConfig, teacher: Tensor, seen: Tensor) -> None:
        self.config, self.seen = config, seen
        self.num_users, self.num_items = seen.shape
        unseen = self.num_items - int(seen.sum(dim=1).max())
        room = self.num_items if config.include_observed else unseen
        self.length = max(1, min(config.top, room))
        self.top = self._teacher_lists(teacher)

    def _teacher_lists(self, teacher: Tensor) -> Tensor:
        """The teacher's best items of each user, int64 [users, K]."""
        items = teacher[self.num_users :]
        parts = []
        for start in range(0, self.num_users, _TEACHER_BLOCK):
            block = slice(start, start + _TEACHER_BLOCK)
            scores = teacher[block.start : min(block.stop, self.num_users)] @ items.T
            if not self.config.include_observed:
                scores = scores.masked_fill(self.seen[block], -torch.inf)
            parts.append(scores.topk(self.length, dim=1).indices)
        return torch.cat(parts)

    def draw(self, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Item columns that centre the scores, and those that estimate ranks (empty: exact)."""
        centre = generator.integers(self.num_items, size=_CENTRE_SAMPLE)
        large = self.num_items > self.config.rank_exact_up_to
        ranked = generator.integers(self.num_items, size=self.config.rank_sample if large else 0)
        device = self.seen.device
        return torch.from_numpy(centre).to(device), torch.from_numpy(ranked).to(device)

    def loss(self, scores: Tensor, users: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """WRD of some users; `scores` float [B, items] are the student's logits."""
        centre, sample = drawn
        top = self.top.index_select(0, users)
        listed = scores.gather(1, top)
        weights = self._weights(scores.detach(), listed.detach(), users, sample)
        if self.config.score == "centred":
            listed = listed - scores.index_select(1, centre).mean(dim=1, keepdim=True)
        return wrd_loss(listed, weights)

    def _weights(self, scores: Tensor, listed: Tensor, users: Tensor, sample: Tensor) -> Tensor:
        among = scores.masked_fill(self.seen.index_select(0, users), -torch.inf)
        if len(sample):
            ranks = sampled_ranks(among.index_select(1, sample), listed, self.num_items)
        else:
            ranks = ranks_among(among, listed)
        config = self.config
        return wrd_weights(ranks, config.decay, config.deviation, config.normalise_gap)


@dataclass(frozen=True)
class PromptBatch:
    """One step of the prompt stage.

    Attributes
    ----------
    pairs : PairBatch
        Positives and negatives of the task loss.
    users : int64 [B]
        User nodes of the distillation terms.
    lists : mapping of market to Lists
        Lists of AMRDD, for the same users in the target.
    drawn : pair of int64 tensors or None
        Item columns drawn for WRD.
    """

    pairs: PairBatch
    users: Tensor
    lists: Mapping[str, Lists]
    drawn: tuple[Tensor, Tensor] | None


class PromptTask:
    """Training of a prompt bank; everything else is frozen."""

    def __init__(
        self,
        config: DCMPTConfig,
        view: View,
        bank: PromptBank,
        sampler: PositiveSampler,
        validation: Validation | None,
        ranking: RankingDistillation | None,
        distiller: Distiller | None,
        device: str,
    ) -> None:
        self.config, self.view, self.bank, self.sampler = config, view, bank, sampler
        self.validation, self.ranking, self.distiller = validation, ranking, distiller
        self.goal, self.device = config.task_objective(), device
        self.objective = PairObjective(self.goal, sampler, device)
        for tensor in bank.parameters().values():
            tensor.requires_grad_(True)

    def parameters(self) -> dict[str, Tensor]:
        """Basis prompts and attention."""
        return self.bank.parameters()

    def batches(self, generator: np.random.Generator) -> Iterator[PromptBatch]:
        """Positives with negatives; the first of them also carry the distillation lists."""
        count = self.config.distillation_users
        for batch in self.sampler.batches(self.config.batch_pairs, generator):
            users, items = batch.users[:count], batch.items[:count]
            yield PromptBatch(
                self.objective.prepare(batch, generator),
                torch.from_numpy(users).to(self.device),
                self.distiller.draw(users, items, generator) if self.distiller else {},
                self.ranking.draw(generator) if self.ranking else None,
            )

    def losses(self, batch: PromptBatch) -> dict[str, Tensor]:
        """The terms of eq. (16) and their weighted sum."""
        vectors = self.view.vectors(self.bank)
        terms = {"task": self.objective(vectors, batch.pairs)}
        total = self.config.alpha * terms["task"]
        if self.ranking is not None or self.distiller is not None:
            scores = self._scores(vectors, batch.users)
            if self.ranking is not None and batch.drawn is not None:
                terms["wrd"] = self.ranking.loss(scores, batch.users, batch.drawn)
                total = total + self.config.beta * terms["wrd"]
            if self.distiller is not None:
                terms["amrdd"] = self.distiller.loss(batch.lists, scores, self.bank)
                total = total + self.config.gamma * terms["amrdd"]
        for tensor in self.parameters().values():
            total = total + self.config.reg * squared_norm(tensor, 1)
        return {"loss": total, **terms}

    def _scores(self, vectors: Tensor, users: Tensor) -> Tensor:
        """Student logits of some users for all items; both distillations pick theirs from it."""
        similar = as_similarity(vectors, self.goal.similarity)
        items = similar[self.view.nodes.num_users :]
        return similar.index_select(0, users) @ items.T / self.goal.temperature

    def validate(self) -> dict[str, float]:
        """NDCG@10 of the prompted student on the target."""
        if self.validation is None:
            return {}
        with torch.no_grad():
            vectors = self.view.vectors(self.bank)
            similar = as_similarity(vectors, self.goal.similarity)
            return self.validation.evaluate(vector_scores(self.view.nodes, similar))
