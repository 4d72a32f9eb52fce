"""What every form of a served system can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crossmarket.artifact.tensors import Arrays, Tensors
from crossmarket.errors import DataError

Floats = NDArray[np.float32]
Rows = NDArray[np.integer[Any]]

#: Whose tensors: shared by all markets, the market's prompts, its users, its items.
Place = Literal["backbone", "adapter", "users", "items"]

#: Where a list comes from: prompts of the market, another system's own user, a bare history, a
#: frozen backbone without prompts, what sells most.
Strategy = Literal["prompted", "personal", "fold-in", "backbone", "popular"]


@dataclass(frozen=True)
class MarketShape:
    """Sizes and items of the market that a form scores.

    Attributes
    ----------
    catalogue : int32 [m]
        Sorted item rows (of the backbone's items) that the market sells.
    num_users : int
        Users of the market.
    num_items : int
        Items of all markets.
    """

    catalogue: NDArray[np.int32]
    num_users: int
    num_items: int


class Form(ABC):
    """Scores a market's catalogue for one user at a time; made of arrays only.

    A system returns one from `Recommender.serving_form`; it is stored as its `facts` and
    `tensors` and comes back through `restore`.
    """

    #: Name of the form in an artifact.
    kind: ClassVar[str]
    #: Whether histories say anything.
    supports_fold_in: ClassVar[bool] = True

    @property
    def strategy(self) -> Strategy:
        """How a known user's list is made."""
        return "personal"

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """JSON-able values that `restore` needs besides the tensors."""

    @abstractmethod
    def tensors(self) -> dict[Place, Arrays]:
        """The arrays by the file they belong to."""

    @classmethod
    @abstractmethod
    def restore(
        cls, facts: Mapping[str, Any], files: Mapping[Place, Tensors], market: MarketShape
    ) -> Self:
        """Take the tensors out of their files, each with its dtype and shape.

        Raises
        ------
        DataError
            If one is missing or wrong.
        """

    @abstractmethod
    def score_user(self, user: int, history: Rows) -> Floats:
        """Scores of the whole catalogue, float32 [m], for a user row and its item rows."""

    def score_history(self, history: Rows) -> Floats | None:
        """Scores of the catalogue for sorted item rows; None where they tell nothing."""
        return None

    def score_like(self, item: int) -> Floats | None:
        """How like an item (its place in the catalogue) each item of it is, float32 [m]."""
        return None

    def share_of_prompts(
        self, user: int | None, history: Rows, places: Rows
    ) -> NDArray[np.float64] | None:
        """Part of some items' scores that the market's prompts added; None without prompts."""
        return None

    def leave_one_out(self, history: Rows, places: Rows) -> NDArray[np.float64]:
        """What each item of a history adds to the scores of some items, [history, places].

        It is the score from the whole history less the score from all of it but that item.
        """
        whole = self._scores_of(history, places)
        parts = [
            whole - self._scores_of(np.delete(history, place), places)
            for place in range(len(history))
        ]
        return np.array(parts).reshape(len(history), len(places))

    def _scores_of(self, history: Rows, places: Rows) -> NDArray[np.float64]:
        scores = self.score_history(history)
        return np.zeros(len(places)) if scores is None else scores[places].astype(np.float64)


def fact(facts: Mapping[str, Any], name: str, choices: tuple[Any, ...]) -> Any:
    """A value of a form's facts that is one of some choices.

    Raises
    ------
    DataError
        If it is none of them.
    """
    value = facts.get(name)
    if not any(value is choice or value == choice for choice in choices):
        raise DataError(f"the form of a market has {name}={value!r}, not one of {choices}")
    return value


def take_rows(file: Tensors, name: str, num_items: int) -> NDArray[np.int32]:
    """Take ascending item rows out of a file."""
    rows = file.take(name, np.int32, (None,))
    if len(rows) and (rows[0] < 0 or rows[-1] >= num_items or np.any(np.diff(rows) <= 0)):
        raise DataError(f"{file.place}: {name!r} are not rows of items in order")
    return rows


def places_in(rows: Rows, wanted: Rows) -> NDArray[np.int64]:
    """Place of each wanted value in sorted rows; -1 where it is not among them."""
    if not len(rows):
        return np.full(len(wanted), -1, dtype=np.int64)
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)
