"""Inner products of user and item vectors, with what the market's prompts added to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from crossmarket.artifact.forms.base import (
    Floats,
    Form,
    MarketShape,
    Place,
    Rows,
    Strategy,
    fact,
    places_in,
    take_rows,
)
from crossmarket.artifact.tensors import Arrays, Tensors

_SMALLEST_NORM = 1e-12


@dataclass(frozen=True)
class Prompts:
    """What prompts added to vectors: `mixture @ basis`, in the vectors' scale.

    Attributes
    ----------
    basis : float32 [M, d]
        Basis prompts.
    users : float32 [users, M]
        Propagated mixture of each user.
    items : float32 [m, M]
        Propagated mixture of each item of the catalogue.
    carried : float32 [n, M]
        Mixture of what each known item carries to a new user.
    """

    basis: Floats
    users: Floats
    items: Floats
    carried: Floats


@dataclass(frozen=True)
class VectorForm(Form):
    """The score of an item is the inner product of its vector and the user's.

    A new user's vector is the sum of what its items carry over the count of them to a power.

    Attributes
    ----------
    users : float32 [users, d]
        Vectors of the market's users; of length 1 where the cosine is meant.
    items : float32 [m, d]
        Vectors of the catalogue; the same.
    rows : int32 [n]
        Sorted item rows that carry something to a new user.
    carried : float32 [n, d] or None
        What they carry; None where a bare history cannot be scored.
    power : float
        Of the count: 0.5 or 1.
    similarity : {"dot", "cosine"}
        Whether a new user's vector is brought to length 1.
    offsets : float32 [m] or None
        Added to the scores of known users.
    prompts : Prompts or None
        What the market's prompts have a share in.
    shared : float32 [n, d] or None
        Vectors of `rows`, of which `items` are some, where all markets have the same.
    strategy_name : str
        How a known user's list is made.
    tuning : dict of place to arrays
        What only further training reads: frozen tables and the attention of the prompts.
    """

    kind: ClassVar[str] = "vectors"
    users: Floats
    items: Floats
    rows: NDArray[np.int32]
    carried: Floats | None
    power: float = 0.5
    similarity: Literal["dot", "cosine"] = "dot"
    offsets: Floats | None = None
    prompts: Prompts | None = None
    shared: Floats | None = None
    strategy_name: Strategy = "personal"
    tuning: Mapping[Place, Arrays] = field(default_factory=dict)

    @property
    def supports_fold_in(self) -> bool:  # type: ignore[override]  # a fact of each market here
        """Whether items carry anything to a new user."""
        return self.carried is not None

    @property
    def strategy(self) -> Strategy:
        """As the system said."""
        return self.strategy_name

    def facts(self) -> dict[str, Any]:
        """How vectors make scores, and which tensors there are."""
        return {
            "power": self.power,
            "similarity": self.similarity,
            "strategy": self.strategy_name,
            "shared": self.shared is not None,
            "folds": self.carried is not None,
            "prompted": self.prompts is not None,
            "offsets": self.offsets is not None,
            "tuning": {place: sorted(arrays) for place, arrays in self.tuning.items()},
        }

    def tensors(self) -> dict[Place, Arrays]:
        """Users and prompts are the market's; items are the backbone's where all share them."""
        files: dict[Place, dict[str, NDArray[Any]]] = {
            place: dict(self.tuning.get(place, {}))
            for place in ("backbone", "adapter", "users", "items")
        }
        files["users"]["vectors"] = self.users
        known = files["items" if self.shared is None else "backbone"]
        known["vectors"] = self.items if self.shared is None else self.shared
        known["rows"] = self.rows
        if self.carried is not None:
            known["carried"] = self.carried
        if self.offsets is not None:
            files["items"]["offsets"] = self.offsets
        if self.prompts is not None:
            files["adapter"]["basis"] = self.prompts.basis
            files["users"]["mixture"] = self.prompts.users
            files["items"]["mixture"] = self.prompts.items
            files["items"]["carried_mixture"] = self.prompts.carried
        return {place: arrays for place, arrays in files.items() if arrays}

    @classmethod
    def restore(
        cls, facts: Mapping[str, Any], files: Mapping[Place, Tensors], market: MarketShape
    ) -> Self:
        """Take vectors and mixtures out; what only training reads is checked and left."""
        users = files["users"].take("vectors", np.float32, (market.num_users, None))
        width, size = users.shape[1], len(market.catalogue)
        shared = fact(facts, "shared", (True, False))
        file = files["backbone" if shared else "items"]
        rows = take_rows(file, "rows", market.num_items)
        items = file.take("vectors", np.float32, (len(rows) if shared else size, width))
        whole = items if shared else None
        if shared:
            places = places_in(rows, market.catalogue)
            items = np.where(places[:, None] < 0, np.float32(0), items[places])
        folds = fact(facts, "folds", (True, False))
        carried = file.take("carried", np.float32, (len(rows), width)) if folds else None
        offsets = None
        if fact(facts, "offsets", (True, False)):
            offsets = files["items"].take("offsets", np.float32, (size,))
        prompts = None
        if fact(facts, "prompted", (True, False)):
            basis = files["adapter"].take("basis", np.float32, (None, width))
            count = len(basis)
            prompts = Prompts(
                basis,
                files["users"].take("mixture", np.float32, (market.num_users, count)),
                files["items"].take("mixture", np.float32, (size, count)),
                files["items"].take("carried_mixture", np.float32, (len(rows), count)),
            )
        form = cls(
            users,
            np.ascontiguousarray(items),
            rows,
            carried,
            fact(facts, "power", (0.5, 1.0)),
            fact(facts, "similarity", ("dot", "cosine")),
            offsets,
            prompts,
            whole,
            fact(facts, "strategy", ("prompted", "personal", "backbone")),
        )
        _check_tuning(facts, files, market, width)
        return form

    def score_user(self, user: int, history: Rows) -> Floats:
        """Inner products with the user's vector, and the offsets."""
        scores = self.items @ self.users[user]
        return np.asarray(scores if self.offsets is None else scores + self.offsets)

    def score_history(self, history: Rows) -> Floats | None:
        """Inner products with the vector that the history's items carry."""
        folded = self._fold(history)
        return None if folded is None else self.items @ folded[0]

    def score_like(self, item: int) -> Floats | None:
        """Cosine of the item's vector with every other."""
        lengths = self._lengths
        return np.asarray(self.items @ (self.items[item] / lengths[item]) / lengths)

    def share_of_prompts(
        self, user: int | None, history: Rows, places: Rows
    ) -> NDArray[np.float64] | None:
        """The score less that of the vectors without what the prompts added to them."""
        if self.prompts is None:
            return None
        vector, mixture = self._vector(user, history)
        items = self.items[places].astype(np.float64)
        basis = self.prompts.basis.astype(np.float64)
        plain_user = vector - mixture @ basis
        plain_items = items - self.prompts.items[places] @ basis
        return np.asarray(items @ vector - plain_items @ plain_user)

    @cached_property
    def _lengths(self) -> Floats:
        norms = np.linalg.norm(self.items, axis=1)
        return np.asarray(np.maximum(norms, _SMALLEST_NORM), dtype=np.float32)

    def _vector(
        self, user: int | None, history: Rows
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A user's vector and its mixture of prompts."""
        assert self.prompts is not None
        if user is not None:
            return self.users[user].astype(np.float64), self.prompts.users[user].astype(np.float64)
        folded = self._fold(history)
        assert folded is not None  # only lists that a history made are explained by it
        vector, places, scale = folded
        return vector.astype(np.float64), self.prompts.carried[places].sum(axis=0) * scale

    def _fold(self, history: Rows) -> tuple[Floats, Rows, float] | None:
        """A new user's vector, the places of its items, and the factor of what these carry."""
        if self.carried is None:
            return None
        places = places_in(self.rows, history)
        places = places[places >= 0]
        if not len(places):
            return None
        total = self.carried[places].sum(axis=0)
        scale = float(1 / len(places) ** self.power)
        vector = np.asarray(total * scale, dtype=np.float32)
        if self.similarity == "cosine":
            norm = max(float(np.linalg.norm(vector)), _SMALLEST_NORM)
            vector, scale = np.asarray(vector / np.float32(norm)), scale / norm
        return vector, places, scale


#: Shapes of tensors that only training reads: u users, n items of all markets, k any, d the width.
_TUNING_SHAPES = {
    ("backbone", "layer0"): "nd",
    ("users", "layer0"): "ud",
    ("adapter", "attention"): "kd",
    ("adapter", "bias"): "k",
}


def _check_tuning(
    facts: Mapping[str, Any], files: Mapping[Place, Tensors], market: MarketShape, width: int
) -> None:
    named = facts.get("tuning")
    lengths = {"u": market.num_users, "n": market.num_items, "k": None, "d": width}
    for place, names in named.items() if isinstance(named, dict) else ():
        for name in names:
            letters = _TUNING_SHAPES.get((place, name), "")
            if letters and place in files:
                shape = tuple(lengths[letter] for letter in letters)
                files[place].take(name, np.float32, shape)
