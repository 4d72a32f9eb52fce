"""Training of the prompts: task loss, WRD and AMRDD over frozen tables (eq. 16)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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
from crossmarket.models.tables import PairBatch, PairObjective, Validation
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
        """Items that centre the scores, and items that estimate ranks (empty: exact ranks)."""
        centre = generator.integers(self.num_items, size=_CENTRE_SAMPLE)
        large = self.num_items > self.config.rank_exact_up_to
        ranked = generator.integers(self.num_items, size=self.config.rank_sample if large else 0)
        return torch.from_numpy(centre), torch.from_numpy(ranked)

    def loss(self, student: Tensor, users: Tensor, drawn: tuple[Tensor, Tensor]) -> Tensor:
        """WRD of some users; `student` holds the target's scaled vectors."""
        centre, sample = drawn
        own, items = student.index_select(0, users), student[self.num_users :]
        top = self.top.index_select(0, users)
        listed = items.index_select(0, top.flatten()).view(*top.shape, -1)
        scores = torch.einsum("bd,bkd->bk", own, listed)
        with torch.no_grad():
            among = own @ (items.index_select(0, sample) if len(sample) else items).T
            hidden = self.seen.index_select(0, users)
            if len(sample):
                hidden = hidden.index_select(1, sample)
            among = among.masked_fill(hidden, -torch.inf)
            ranks = (
                sampled_ranks(among, scores, self.num_items)
                if len(sample)
                else ranks_among(among, scores)
            )
            weights = wrd_weights(
                ranks, self.config.decay, self.config.deviation, self.config.normalise_gap
            )
        if self.config.score == "centred":
            scores = scores - (own @ items.index_select(0, centre).T).mean(dim=1, keepdim=True)
        return wrd_loss(scores, weights)


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
        self.goal = config.task_objective()
        self.objective = PairObjective(self.goal, sampler, device)
        for tensor in bank.parameters().values():
            tensor.requires_grad_(True)

    def parameters(self) -> dict[str, Tensor]:
        """Basis prompts and attention."""
        return self.bank.parameters()

    def batches(self, generator: np.random.Generator) -> Iterator[Any]:
        """Positives with negatives; the first of them also carry the distillation lists."""
        for batch in self.sampler.batches(self.config.batch_pairs, generator):
            users = batch.users[: self.config.distillation_users]
            items = batch.items[: self.config.distillation_users]
            lists = self.distiller.draw(users, items, generator) if self.distiller else None
            drawn = self.ranking.draw(generator) if self.ranking else None
            yield self.objective.prepare(batch, generator), users, lists, drawn

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The terms of eq. (16) and their weighted sum."""
        prepared, users, lists, drawn = batch
        return self._losses(prepared, users, lists, drawn)

    def _losses(
        self,
        prepared: PairBatch,
        users: NDArray[np.int64],
        lists: Lists | None,
        drawn: tuple[Tensor, Tensor] | None,
    ) -> dict[str, Tensor]:
        vectors = self.view.vectors(self.bank)
        terms = {"task": self.objective(vectors, prepared)}
        total = self.config.alpha * terms["task"]
        if self.ranking is not None or self.distiller is not None:
            scaled = as_similarity(vectors, self.goal.similarity) / self.goal.temperature**0.5
            if self.ranking is not None and drawn is not None:
                terms["wrd"] = self.ranking.loss(scaled, torch.from_numpy(users), drawn)
                total = total + self.config.beta * terms["wrd"]
            if self.distiller is not None and lists is not None:
                terms["amrdd"] = self.distiller.loss(lists, scaled, self.bank)
                total = total + self.config.gamma * terms["amrdd"]
        for tensor in self.parameters().values():
            total = total + self.config.reg * squared_norm(tensor, 1)
        return {"loss": total, **terms}

    def validate(self) -> dict[str, float]:
        """NDCG@10 of the prompted student on the target."""
        if self.validation is None:
            return {}
        with torch.no_grad():
            vectors = self.view.vectors(self.bank)
            return self.validation.evaluate(as_similarity(vectors, self.goal.similarity))
