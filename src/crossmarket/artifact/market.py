"""One market of an artifact, ready to answer: everything in memory, nothing changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmarket.artifact.answers import Answer, Explanation, Recommended
from crossmarket.artifact.explaining import explain as explain_scores
from crossmarket.artifact.forms.base import Floats, Form, Rows, Strategy, places_in
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import UsageError
from crossmarket.metrics.ranking import top_k

_NOTHING = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class History:
    """Who is asking: a user row or none, and item rows that count as taken.

    Attributes
    ----------
    user : int or None
        Row of a known user.
    rows : int [n]
        Sorted rows, among the items of all markets, that scores are made from.
    """

    user: int | None
    rows: Rows


@dataclass(frozen=True)
class Market:
    """A market's users, catalogue and scores.

    Attributes
    ----------
    name, version, backbone, system : str
        Which market, hash of its manifest, hash of its backbone, who learned it.
    vocabulary : Vocabulary
        Item ids of all markets.
    users : Vocabulary
        User ids of the market.
    catalogue : int32 [m]
        Sorted rows of the items it sells; a list's items are places in it.
    offsets, seen : int64 [users + 1], int32 [n]
        User u has taken the catalogue's items `seen[offsets[u]:offsets[u + 1]]`.
    learned : bool [n]
        Whether training saw the pair.
    form : Form
        Scores.
    config : dict
        The system's settings in this market.
    closed_form : bool
        Whether the system learns from the pairs alone.
    metrics : mapping or None
        What an evaluation found, as it was written.
    titles : mapping of int to str
        Titles of items by their place in the catalogue, where it has any.
    """

    name: str
    version: str
    backbone: str
    system: str
    vocabulary: Vocabulary
    users: Vocabulary
    catalogue: NDArray[np.int32]
    offsets: NDArray[np.int64]
    seen: NDArray[np.int32]
    learned: NDArray[np.bool_]
    form: Form
    config: Mapping[str, Any]
    closed_form: bool
    metrics: Mapping[str, Any] | None = None
    titles: Mapping[int, str] = field(default_factory=dict)

    @cached_property
    def item_ids(self) -> list[str]:
        """Ids of the catalogue, in its order."""
        return self.vocabulary.take(self.catalogue)

    @property
    def titles_by_id(self) -> dict[str, str]:
        """Titles by item id."""
        return {self.item_ids[place]: title for place, title in self.titles.items()}

    @cached_property
    def popularity(self) -> Floats:
        """How many users took each item of the catalogue, float32 [m]."""
        return np.bincount(self.seen, minlength=len(self.catalogue)).astype(np.float32)

    def seen_by(self, user: int) -> NDArray[np.int32]:
        """Places of what a user row has taken."""
        return self.seen[self.offsets[user] : self.offsets[user + 1]]

    def recommend(
        self,
        user: str | None = None,
        *,
        history: Sequence[str] = (),
        k: int = 10,
        include: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        exclude_seen: bool = True,
        explain: bool = False,
    ) -> Answer:
        """The k best items for a user, or for whoever took the items of a history.

        A known user gets a list of its own; else the history is folded in; else, where nothing of
        it is known or the system cannot, the list is what sells most in the market.

        Parameters
        ----------
        user : str, optional
            User id of the market.
        history : sequence of str
            Item ids, of any market, that the user took; of a known user only excluded.
        k : int
            Length of the list; shorter where fewer candidates are left.
        include : sequence of str, optional
            Recommend only these.
        exclude : sequence of str
            Never recommend these.
        exclude_seen : bool
            Leave out what the user or the history has.
        explain : bool
            Say where each score comes from.

        Raises
        ------
        UsageError
            For k below 1.
        """
        known, taken, ignored = self._history(user, history)
        strategy, scores = self._scores(known)
        masked, unknown = self._masked(scores, include, exclude)
        if exclude_seen:
            masked[taken] = -np.inf
        places, values = self.best(masked, k)
        why: list[Explanation] | None = None
        if explain:
            why = explain_scores(
                self.form, strategy, known.user, known.rows, self._named(known.rows), places, values
            )
        unknown = list(dict.fromkeys([*ignored, *unknown]))
        return self._answer(strategy, places, values, k, unknown, why)

    def similar(self, item: str, k: int = 10) -> Answer:
        """The k items of the market most like one of them, by the system's own measure.

        Raises
        ------
        UsageError
            For k below 1, an item that the market does not sell, or a system without a measure.
        """
        (place,) = places_in(self.catalogue, self.vocabulary.rows([item]))
        if place < 0:
            raise UsageError(f"market {self.name!r} sells no item {item!r}; name one that it sells")
        scores = self.form.score_like(int(place))
        if scores is None:
            raise UsageError(f"{self.system} does not say which items are alike")
        scores = scores.astype(np.float32)
        scores[place] = -np.inf
        places, values = self.best(scores, k)
        return self._answer(self.form.strategy, places, values, k)

    def best(self, scores: Floats, k: int) -> tuple[NDArray[np.int64], Floats]:
        """Places and scores of the k best, ties in item order; -inf never is among them.

        Raises
        ------
        UsageError
            For k below 1.
        """
        if k < 1:
            raise UsageError(f"k={k} asks for no items; k must be at least 1")
        places, values = top_k(scores[None, :], min(k, max(len(scores), 1)))
        found = places[0] >= 0
        return places[0][found], values[0][found]

    def scores_of(self, user: int) -> Floats:
        """Scores of the catalogue for a user row, float32 [m]."""
        return self._scores(History(user, self._taken(user)))[1]

    def _answer(
        self,
        strategy: Strategy,
        places: Rows,
        values: Floats,
        k: int,
        ignored: Sequence[str] = (),
        why: Sequence[Explanation] | None = None,
    ) -> Answer:
        places = places.tolist()
        columns = (
            map(self.item_ids.__getitem__, places),
            values.tolist(),
            range(1, len(places) + 1),
            repeat(strategy, len(places)),
            why or repeat(None, len(places)),
            map(self.titles.get, places),
        )
        items = tuple(map(Recommended._make, zip(*columns, strict=True)))
        short = len(items) < k
        return Answer(
            self.name, self.version, self.backbone, strategy, short, tuple(ignored), items
        )

    # -- the chain: the user, the history, what sells most ------------------------------------

    def _scores(self, known: History) -> tuple[Strategy, Floats]:
        if known.user is not None:
            return self.form.strategy, self.form.score_user(known.user, known.rows)
        folded = self.form.score_history(known.rows)
        return ("popular", self._popular) if folded is None else ("fold-in", folded)

    @property
    def _popular(self) -> Floats:
        """What a system of counts says; otherwise how many users took an item."""
        if self.form.strategy == "popular":
            return self.form.score_user(0, _NOTHING)
        return self.popularity

    def _history(self, user: str | None, history: Sequence[str]) -> tuple[History, Rows, list[str]]:
        """Who is asking, the places of all that was taken, and ids that nobody knows."""
        rows: Rows = _NOTHING
        taken: Rows = _NOTHING
        ignored: list[str] = []
        if history:
            rows = self.vocabulary.rows(history)
            ignored = _unknown(history, rows)
            taken = self._places(rows)
        if user is not None:
            row = self.users.row(user)
            if row >= 0:
                seen = self.seen_by(row)
                taken = np.concatenate([taken, seen]) if history else seen
                return History(row, self._taken(row)), taken, ignored
            ignored.insert(0, user)
        return History(None, np.unique(rows[rows >= 0])), taken, ignored

    def _taken(self, user: int) -> Rows:
        return self.catalogue[self.seen_by(user)]

    def _named(self, rows: Rows) -> list[tuple[str, str | None]]:
        """Ids and titles of item rows, whether the market sells them or not."""
        places = places_in(self.catalogue, rows).tolist()
        ids = self.vocabulary.take(rows)
        return [(one, self.titles.get(place)) for one, place in zip(ids, places, strict=True)]

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        """Places of those of some item rows that the market sells."""
        places = places_in(self.catalogue, rows)
        return places[places >= 0]

    def _masked(
        self, scores: Floats, include: Sequence[str] | None, exclude: Sequence[str]
    ) -> tuple[Floats, list[str]]:
        """A copy of scores, -inf where an item must not be listed, and ids that nobody knows."""
        masked = np.array(scores, dtype=np.float32)
        unknown: list[str] = []
        if include is not None:
            places, unknown = self._sold(include)
            masked[:] = -np.inf
            masked[places] = scores[places]
        if exclude:
            places, strange = self._sold(exclude)
            masked[places] = -np.inf
            unknown += strange
        return masked, unknown

    def _sold(self, ids: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
        """Places of those of some items that the market sells, and the ids that nobody knows."""
        rows = self.vocabulary.rows(ids)
        return self._places(rows), _unknown(ids, rows)


def _unknown(ids: Sequence[str], rows: Rows) -> list[str]:
    return [name for name, row in zip(ids, rows.tolist(), strict=True) if row < 0]
