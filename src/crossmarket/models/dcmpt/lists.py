"""Item lists that teacher and student both score in AMRDD (eq. 10-15), in four readings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.dcmpt.distillation import (
    decoupled_kl,
    decoupled_kl_of,
    log_preferences,
    market_weights,
)
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import View
from crossmarket.models.objectives import Similarity, as_similarity
from crossmarket.training.sampling import PositiveSampler

Lists = Mapping[str, tuple[Tensor, Tensor]]


def list_logits(vectors: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Inner products of each user node with its listed item nodes, float [B, K]."""
    rows = vectors.index_select(0, torch.cat([users, items.flatten()]))
    own, listed = rows[: len(users)], rows[len(users) :].view(*items.shape, -1)
    return torch.einsum("bd,bkd->bk", own, listed)


class Distiller(ABC):
    """One reading of how source markets enter the distillation.

    Parameters
    ----------
    train : MarketDataset
        Training part of all markets.
    target : PositiveSampler
        The target's positives, over the target's nodes.
    teacher : float32 [n, d]
        Teacher vectors of the target's nodes; inner products are logits.
    length : int
        K, observed item included.
    views : mapping of market to View
        Source markets as the prompted student sees them (used by some readings).
    similarity, temperature
        How the student's vectors become logits.
    """

    def __init__(
        self,
        train: MarketDataset,
        target: PositiveSampler,
        teacher: Tensor,
        length: int,
        views: Mapping[str, View],
        similarity: Similarity,
        temperature: float,
    ) -> None:
        self.train, self.target, self.teacher, self.length = train, target, teacher, length
        self.views, self.similarity, self.temperature = views, similarity, temperature
        (self.market,) = target.nodes.markets
        self.sources = [name for name in train.markets if name != self.market]
        self.samplers = {name: PositiveSampler(train, view.nodes) for name, view in views.items()}
        self.bridges = {name: self._bridge(name) for name in self.sources}

    def _bridge(self, source: str) -> NDArray[np.int64]:
        """Target nodes of the items that both markets sell."""
        shared = np.intersect1d(self.train.catalogue(source), self.train.catalogue(self.market))
        return self.target.nodes.item_nodes(shared)

    def target_lists(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        pool: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Observed item and K-1 unseen ones of `pool`, topped up from the target's catalogue."""
        missing = self.length - 1 - len(pool)
        if missing > 0:
            others = np.setdiff1d(self.target.pools[0], pool)
            pool = np.concatenate([pool, generator.permutation(others)[:missing]])
        drawn = self.target.draw_unseen(users, pool, self.length - 1, generator)
        lists = np.concatenate([items[:, None], drawn], axis=1)
        return torch.from_numpy(users), torch.from_numpy(lists)

    def source_lists(
        self,
        source: str,
        count: int,
        pool: NDArray[np.int64] | None,
        generator: np.random.Generator,
    ) -> tuple[Tensor, Tensor]:
        """Lists of `count` random positives of a source, over the source's own nodes."""
        sampler = self.samplers[source]
        if pool is None:
            picked = generator.integers(len(sampler), size=count)
        else:
            inside = np.nonzero(np.isin(sampler.items, pool))[0]
            picked = inside[generator.integers(len(inside), size=count)]
        users, items = sampler.users[picked], sampler.items[picked]
        wanted = sampler.pools[0] if pool is None else pool
        drawn = sampler.draw_unseen(users, wanted, self.length - 1, generator)
        lists = np.concatenate([items[:, None], drawn], axis=1)
        return torch.from_numpy(users), torch.from_numpy(lists)

    def source_vectors(self, source: str, bank: PromptBank | None) -> Tensor:
        """Prompted student vectors of a source market, scaled like the target's."""
        vectors = self.views[source].vectors(bank)
        scale: float = self.temperature**0.5
        return as_similarity(vectors, self.similarity) / scale

    @abstractmethod
    def draw(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> Lists:
        """Lists of one step for the given positives of the target."""

    @abstractmethod
    def loss(self, lists: Lists, student: Tensor, bank: PromptBank | None) -> Tensor:
        """AMRDD (eq. 15); `student` holds the target's scaled vectors."""


class TargetOnly(Distiller):
    """No source at all, to see whether weighting markets matters."""

    def draw(self, users: Any, items: Any, generator: np.random.Generator) -> Lists:
        """One list a positive from the whole catalogue."""
        return {"": self.target_lists(users, items, self.target.pools[0], generator)}

    def loss(self, lists: Lists, student: Tensor, bank: PromptBank | None) -> Tensor:
        """Plain listwise divergence on the target."""
        return decoupled_kl(
            list_logits(self.teacher, *lists[""]), list_logits(student, *lists[""])
        ).mean()


class Bridge(Distiller):
    """Target users, lists of items that the source also sells: the default reading."""

    def draw(self, users: Any, items: Any, generator: np.random.Generator) -> Lists:
        """One list a positive and source, and one from the whole catalogue."""
        lists = {"": self.target_lists(users, items, self.target.pools[0], generator)}
        for source, pool in self.bridges.items():
            lists[source] = self.target_lists(users, items, pool, generator)
        return lists

    def loss(self, lists: Lists, student: Tensor, bank: PromptBank | None) -> Tensor:
        """Divergence of each source's lists, weighted by closeness of the mean preference."""
        terms, seen = [], []
        for source in self.sources:
            students = log_preferences(list_logits(student, *lists[source]))
            teachers = log_preferences(list_logits(self.teacher, *lists[source]))
            terms.append(decoupled_kl_of(teachers, students).mean())
            seen.append(students[0].exp().mean())
        reference = log_preferences(list_logits(self.teacher, *lists[""]))[0].exp().mean()
        weights = market_weights(torch.stack(seen), reference)
        return (weights * torch.stack(terms)).sum()


class Literal(Distiller):
    """Averages over users of each market; the k-th strongest negative stands in slot k."""

    def draw(self, users: Any, items: Any, generator: np.random.Generator) -> Lists:
        """Lists of target users, and of as many random users of each source."""
        lists = {"": self.target_lists(users, items, self.target.pools[0], generator)}
        for source in self.sources:
            lists[source] = self.source_lists(source, len(users), None, generator)
        return lists

    def loss(self, lists: Lists, student: Tensor, bank: PromptBank | None) -> Tensor:
        """Eq. (14)-(15) on averages of d and of the sorted z."""
        teacher = _averages(list_logits(self.teacher, *lists[""]))
        terms, seen = [], []
        for source in self.sources:
            vectors = self.source_vectors(source, bank)
            mine = _averages(list_logits(vectors, *lists[source]))
            terms.append(decoupled_kl_of(teacher, mine))
            seen.append(mine[0].exp())
        weights = market_weights(torch.stack(seen), teacher[0].exp())
        return (weights * torch.stack(terms)).sum()


class Inductive(Distiller):
    """Source users, folded into the teacher through the items they share with the target."""

    def draw(self, users: Any, items: Any, generator: np.random.Generator) -> Lists:
        """Lists of target users, and of source users over shared items."""
        lists = {"": self.target_lists(users, items, self.target.pools[0], generator)}
        for source in self.sources:
            shared = np.intersect1d(self.train.catalogue(source), self.train.catalogue(self.market))
            pool = self.samplers[source].nodes.item_nodes(shared)
            if np.isin(self.samplers[source].items, pool).any():
                lists[source] = self.source_lists(source, len(users), pool, generator)
        return lists

    def loss(self, lists: Lists, student: Tensor, bank: PromptBank | None) -> Tensor:
        """Divergence on each source's own users, weighted as in `Bridge`."""
        terms, seen = [], []
        for source in self.sources:
            if source not in lists:
                continue
            users, items = lists[source]
            mine = log_preferences(list_logits(self.source_vectors(source, bank), users, items))
            folded = torch.einsum(
                "bd,bkd->bk", self._fold(source, users), self._teacher_items(source, items)
            )
            terms.append(decoupled_kl_of(log_preferences(folded), mine).mean())
            seen.append(mine[0].exp().mean())
        if not terms:
            return student.new_zeros(())
        reference = log_preferences(list_logits(self.teacher, *lists[""]))[0].exp().mean()
        weights = market_weights(torch.stack(seen), reference)
        return (weights * torch.stack(terms)).sum()

    def _teacher_items(self, source: str, items: Tensor) -> Tensor:
        """Teacher vectors of a source's item nodes, all of which the target sells."""
        rows = self.views[source].nodes.items[items.numpy() - self.views[source].nodes.num_users]
        nodes = torch.from_numpy(self.target.nodes.item_nodes(rows))
        return self.teacher.index_select(0, nodes.flatten()).view(*items.shape, -1)

    def _fold(self, source: str, users: Tensor) -> Tensor:
        """`t_v = sum over shared items of tbar_i / sqrt(|N(v)| deg_T(i))`, float32 [B, d]."""
        matrix = self.train.matrix(source)[users.numpy()]
        columns = self.target.nodes.items
        counts = np.bincount(self.train.edges(self.market).items, minlength=len(self.train.items))[
            columns
        ]
        weights = matrix[:, columns].toarray() / np.sqrt(np.maximum(counts, 1))
        sizes = np.maximum(matrix.sum(axis=1), 1)
        scaled = torch.from_numpy((weights / np.sqrt(sizes)[:, None]).astype(np.float32))
        return scaled.to(self.teacher.device) @ self.teacher[self.target.nodes.num_users :]


def _averages(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log of the mean d+, d- and sorted z over a batch of lists."""
    seen, rest, listed = log_preferences(logits)
    mean_list = listed.exp().sort(dim=1, descending=True).values.mean(dim=0)
    return seen.exp().mean().log(), rest.exp().mean().log(), mean_list.log()


DISTILLERS: Mapping[str, type[Distiller]] = {
    "bridge": Bridge,
    "literal": Literal,
    "inductive": Inductive,
    "target_only": TargetOnly,
}
#: Readings that need the prompted student on the source markets' own graphs.
NEEDS_VIEWS = ("literal", "inductive")
