"""What a fitted system answers: scores and lists for users of its target market."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import UsageError
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.top_lists import blocks, history_matrix, top_lists
from crossmarket.training.options import RunOptions


class Scorer(ABC):
    """The part of the contract that needs no training.

    Public methods check and prepare; a system writes the private hooks `_score` and, where it
    supports users it has never seen, `_score_histories`.

    Attributes
    ----------
    target : str
        The market whose users and items are scored.
    train : MarketDataset
        What was learned from; its vocabularies say what rows mean.
    users : Vocabulary
        Users of the target.
    catalogue : int32 [m]
        Sorted rows of the items that the target sells.
    history : sparse [number of users, number of items in the vocabulary]
        What each user of the target has done; a set of its own after `set_history`.
    """

    # Facts of the system and how it runs: `Recommender` says what they are.
    name: ClassVar[str]
    supports_fold_in: ClassVar[bool]
    options: RunOptions
    target: str
    train: MarketDataset
    users: Vocabulary
    catalogue: NDArray[np.int32]
    history: csr_array

    def score(self, users: Rows, items: Rows | None = None) -> FloatMatrix:
        """Score items for known users of the target.

        Parameters
        ----------
        users : int [n]
            User rows of the target market.
        items : int [m], optional
            Item rows; the market's whole catalogue by default.

        Returns
        -------
        float32 [n, m], higher is better, always finite.
        """
        wanted = self.catalogue if items is None else np.asarray(items)
        with self.options.applied():
            return self._score_known(np.asarray(users), wanted, self._score)

    @abstractmethod
    def _score(self, users: Rows, items: Rows) -> FloatMatrix: ...

    def score_lists(self, users: Rows, items: Rows) -> FloatMatrix:
        """Score a list of items of its own for each user.

        Parameters
        ----------
        users : int [n]
            User rows of the target market.
        items : int [n, k]
            Item rows; repeats allowed.

        Returns
        -------
        float32 [n, k], each value as `score` gives it.
        """
        with self.options.applied():
            return self._score_known(np.asarray(users), np.asarray(items), self._score_lists)

    def _scorable(self) -> Rows | None:
        """Sorted item rows the system learned anything of; None: any item can be scored."""
        return None

    def _score_known(
        self, users: Rows, items: Rows, score: Callable[[Rows, Rows], FloatMatrix]
    ) -> FloatMatrix:
        """Score; items of other markets that the system never met come last, all alike."""
        known = self._scorable()
        if known is None:
            return score(users, items)
        found = known[np.minimum(np.searchsorted(known, items), len(known) - 1)] == items
        if found.all():
            return score(users, items)
        scores = score(users, np.where(found, items, known[0]))
        lowest = np.where(found, scores, np.inf).min(axis=1, initial=np.inf)
        lowest[np.isposinf(lowest)] = 0
        return np.where(found, scores, lowest[:, None]).astype(np.float32)

    def _score_lists(self, users: Rows, items: Rows) -> FloatMatrix:
        parts = [np.zeros((0, items.shape[1]), dtype=np.float32)]
        for block in blocks(len(users)):
            wanted, columns = np.unique(items[block], return_inverse=True)
            scores = self._score(users[block], wanted)
            parts.append(np.take_along_axis(scores, columns.reshape(items[block].shape), axis=1))
        return np.concatenate(parts)

    def score_histories(self, histories: csr_array, items: Rows | None = None) -> FloatMatrix:
        """Score items for users given only by what they interacted with.

        Parameters
        ----------
        histories : sparse [n, number of items in the vocabulary]
            Binary; one row a user.
        items : int [m], optional
            Item rows; the market's whole catalogue by default.

        Raises
        ------
        UsageError
            If the system cannot fold in a history.
        """
        if not self.supports_fold_in:
            raise UsageError(
                f"{self.name} cannot score a bare history; name a user of the market instead"
            )
        wanted = self.catalogue if items is None else np.asarray(items)
        with self.options.applied():
            return self._score_histories(histories, wanted)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        raise AssertionError(f"{self.name} claims fold-in without providing it")

    def recommend(
        self,
        users: Sequence[str] | None = None,
        *,
        histories: Sequence[Sequence[str]] | None = None,
        k: int = 10,
        exclude_seen: bool = True,
        items: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
    ) -> pl.DataFrame:
        """Top-k lists for users of the market, or for bare histories.

        Parameters
        ----------
        users : sequence of str, optional
            User ids of the target market.
        histories : sequence of sequences of item ids, optional
            Instead of users; the list of the n-th history is under the user id `history-n`.
        k : int
            Length of each list; shorter where fewer candidates are left.
        exclude_seen : bool
            Leave out what the user has interacted with.
        items : sequence of str, optional
            Recommend only these items of the market.
        exclude : sequence of str
            Never recommend these items.

        Returns
        -------
        polars.DataFrame with `market, user_id, item_id, score, rank` (rank 1 is best).

        Raises
        ------
        UsageError
            For an unknown user, a history without any known item, or k below 1.
        """
        if k < 1:
            raise UsageError(f"k={k} asks for no items; k must be at least 1")
        if (users is None) == (histories is None):
            raise UsageError("give either users or histories, not both")
        candidates = self._candidates(items, exclude)
        vocabulary = self.train.items
        if histories is not None:
            names = [f"history-{number}" for number in range(1, len(histories) + 1)]
            seen = history_matrix(histories, vocabulary)
        else:
            names = list(users or ())
            rows = self._known_users(names)
            seen = self.history[rows]

        def score(block: slice) -> FloatMatrix:
            if histories is not None:
                return self.score_histories(seen[block], candidates)
            return self.score(rows[block], candidates)

        left_out = seen if exclude_seen else None
        table = top_lists(names, candidates, score, vocabulary, k=k, seen=left_out)
        return table.select(pl.lit(self.target).alias("market"), pl.all())

    def _known_users(self, names: Sequence[str]) -> Rows:
        rows = self.users.rows(names)
        if np.any(rows < 0):
            unknown = names[int(np.argmax(rows < 0))]
            raise UsageError(
                f"market {self.target!r} has no user {unknown!r}; "
                "give a history of item ids to get a list for a new user"
            )
        return rows

    def _candidates(self, items: Sequence[str] | None, exclude: Sequence[str]) -> Rows:
        candidates: Rows = self.catalogue
        if items is not None:
            candidates = np.intersect1d(candidates, self.train.items.rows(list(items)))
        return np.setdiff1d(candidates, self.train.items.rows(list(exclude)))
