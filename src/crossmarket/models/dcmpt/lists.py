"""Item lists that teacher and student both score in AMRDD (eq. 10-15), in four readings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Lists:
    """Lists of one market for one step, observed item first.

    Attributes
    ----------
    users : int64 [B]
        User nodes of the market.
    items : int64 [B, K]
        Item columns: item nodes minus the number of user nodes.
    """

    users: Tensor
    items: Tensor


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
        self.shared = {
            name: np.intersect1d(train.catalogue(name), train.catalogue(self.market))
            for name in self.sources
        }

    def draw(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> dict[str, Lists]:
        """Lists of one step for positives of the target, by market.

        Parameters
        ----------
        users, items : int64 [B]
            User nodes and item nodes of the positives.
        """
        whole = self.target_lists(users, items, self.target.pools[0], generator)
        return {self.market: whole, **self._draw_sources(users, items, generator)}

    @abstractmethod
    def _draw_sources(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> dict[str, Lists]: ...

    @abstractmethod
    def loss(self, lists: Mapping[str, Lists], scores: Tensor, bank: PromptBank | None) -> Tensor:
        """AMRDD (eq. 15).

        Parameters
        ----------
        lists : mapping of market to Lists
            What `draw` gave.
        scores : float [B, items]
            Student logits of the target's users in the lists, for all its items.
        bank : PromptBank or None
            The student's prompts, for readings that prompt source markets too.
        """

    def teacher_scores(self, users: Tensor) -> Tensor:
        """Teacher logits of users of the target for all its items, float [B, items]."""
        return self.teacher.index_select(0, users) @ self.teacher[self.target.nodes.num_users :].T

    def teacher_preference(self, lists: Mapping[str, Lists]) -> Tensor:
        """Mean observed preference d+ of the teacher on whole-catalogue lists of the target."""
        own = lists[self.market]
        logits = self.teacher_scores(own.users).gather(1, own.items)
        return log_preferences(logits)[0].exp().mean()

    def source_scores(self, source: str, users: Tensor, bank: PromptBank | None) -> Tensor:
        """Student logits of a source's users for all its items, float [B, items]."""
        vectors = as_similarity(self.views[source].vectors(bank), self.similarity)
        items = vectors[self.views[source].nodes.num_users :]
        return vectors.index_select(0, users) @ items.T / self.temperature

    def target_lists(
        self,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        pool: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> Lists:
        """Observed item and K-1 unseen ones of `pool`, topped up from the target's catalogue."""
        missing = self.length - 1 - len(pool)
        if missing > 0:
            others = np.setdiff1d(self.target.pools[0], pool)
            pool = np.concatenate([pool, generator.permutation(others)[:missing]])
        return self._lists(self.target, users, items, pool, generator)

    def source_lists(
        self,
        source: str,
        count: int,
        generator: np.random.Generator,
        pool: NDArray[np.int64] | None = None,
    ) -> Lists:
        """Lists of `count` random positives of a source; all their items from `pool` if given."""
        sampler = self.samplers[source]
        inside = np.arange(len(sampler))
        if pool is not None:
            inside = np.flatnonzero(np.isin(sampler.items, pool))
        picked = inside[generator.integers(len(inside), size=count)]
        users, items = sampler.users[picked], sampler.items[picked]
        wanted = sampler.pools[0] if pool is None else pool
        return self._lists(sampler, users, items, wanted, generator)

    def _lists(
        self,
        sampler: PositiveSampler,
        users: NDArray[np.int64],
        items: NDArray[np.int64],
        pool: NDArray[np.int64],
        generator: np.random.Generator,
    ) -> Lists:
        drawn = sampler.draw_unseen(users, pool, self.length - 1, generator)
        columns = np.concatenate([items[:, None], drawn], axis=1) - sampler.nodes.num_users
        device = self.teacher.device
        return Lists(torch.from_numpy(users).to(device), torch.from_numpy(columns).to(device))


class TargetOnly(Distiller):
    """No source at all, to see whether weighting markets matters."""

    def _draw_sources(self, users: Any, items: Any, generator: Any) -> dict[str, Lists]:
        return {}

    def loss(self, lists: Mapping[str, Lists], scores: Tensor, bank: PromptBank | None) -> Tensor:
        """Plain listwise divergence on the target."""
        own = lists[self.market]
        teacher = self.teacher_scores(own.users).gather(1, own.items)
        return decoupled_kl(teacher, scores.gather(1, own.items)).mean()


class Bridge(Distiller):
    """Target users, lists of items that the source also sells: the default reading."""

    def _draw_sources(
        self, users: Any, items: Any, generator: np.random.Generator
    ) -> dict[str, Lists]:
        return {
            source: self.target_lists(users, items, self.target.nodes.item_nodes(rows), generator)
            for source, rows in self.shared.items()
        }

    def loss(self, lists: Mapping[str, Lists], scores: Tensor, bank: PromptBank | None) -> Tensor:
        """Divergence of each source's lists, weighted by closeness of the mean preference."""
        teacher = self.teacher_scores(lists[self.market].users)
        terms, seen = [], []
        for source in self.sources:
            students = log_preferences(scores.gather(1, lists[source].items))
            teachers = log_preferences(teacher.gather(1, lists[source].items))
            terms.append(decoupled_kl_of(teachers, students).mean())
            seen.append(students[0].exp().mean())
        weights = market_weights(torch.stack(seen), self.teacher_preference(lists))
        return (weights * torch.stack(terms)).sum()


class Literal(Distiller):
    """Averages over users of each market; the k-th strongest negative stands in slot k."""

    def _draw_sources(
        self, users: Any, items: Any, generator: np.random.Generator
    ) -> dict[str, Lists]:
        return {source: self.source_lists(source, len(users), generator) for source in self.sources}

    def loss(self, lists: Mapping[str, Lists], scores: Tensor, bank: PromptBank | None) -> Tensor:
        """Eq. (14)-(15) on averages of d and of the sorted z."""
        own = lists[self.market]
        teacher = _averages(self.teacher_scores(own.users).gather(1, own.items))
        terms, seen = [], []
        for source in self.sources:
            logits = self.source_scores(source, lists[source].users, bank)
            mine = _averages(logits.gather(1, lists[source].items))
            terms.append(decoupled_kl_of(teacher, mine))
            seen.append(mine[0].exp())
        weights = market_weights(torch.stack(seen), teacher[0].exp())
        return (weights * torch.stack(terms)).sum()


class Inductive(Distiller):
    """Source users, folded into the teacher through the items they share with the target."""

    def _draw_sources(
        self, users: Any, items: Any, generator: np.random.Generator
    ) -> dict[str, Lists]:
        lists = {}
        for source, rows in self.shared.items():
            pool = self.samplers[source].nodes.item_nodes(rows)
            if np.isin(self.samplers[source].items, pool).any():
                lists[source] = self.source_lists(source, len(users), generator, pool)
        return lists

    def loss(self, lists: Mapping[str, Lists], scores: Tensor, bank: PromptBank | None) -> Tensor:
        """Divergence on each source's own users, weighted as in `Bridge`."""
        terms, seen = [], []
        for source in self.sources:
            if source not in lists:
                continue
            own = lists[source]
            logits = self.source_scores(source, own.users, bank)
            mine = log_preferences(logits.gather(1, own.items))
            folded = log_preferences(self._folded_logits(source, own))
            terms.append(decoupled_kl_of(folded, mine).mean())
            seen.append(mine[0].exp().mean())
        if not terms:
            return scores.new_zeros(())
        weights = market_weights(torch.stack(seen), self.teacher_preference(lists))
        return (weights * torch.stack(terms)).sum()

    def _folded_logits(self, source: str, lists: Lists) -> Tensor:
        """Teacher logits of source users, each the sum of its shared items' teacher vectors.

        `t_v = sum over shared items of tbar_i / sqrt(|N(v)| deg_T(i))`; float [B, K].
        """
        matrix = self.train.matrix(source)[lists.users.cpu().numpy()]
        nodes, edges = self.target.nodes, self.train.edges(self.market)
        degrees = np.bincount(edges.items, minlength=len(self.train.items))[nodes.items]
        weights = matrix[:, nodes.items].toarray() / np.sqrt(np.maximum(degrees, 1))
        weights /= np.sqrt(np.maximum(matrix.sum(axis=1), 1))[:, None]
        items = self.teacher[nodes.num_users :]
        users = torch.from_numpy(weights.astype(np.float32)).to(items.device) @ items
        rows = self.views[source].nodes.items[lists.items.cpu().numpy()]
        columns = torch.from_numpy(np.searchsorted(nodes.items, rows)).to(items.device)
        return (users @ items.T).gather(1, columns)


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
