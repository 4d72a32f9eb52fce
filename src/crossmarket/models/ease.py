"""EASE^R: a linear item-item model in closed form."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.linalg import lapack
from scipy.sparse import csr_array, vstack

from crossmarket.artifact.forms.item_item import ItemItemForm, compact
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import CrossmarketError
from crossmarket.files import content_hash
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig


class EaseConfig(ModelConfig):
    """Settings of `Ease`."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose users are stacked. Source: M3Rec, 'Mix' is merged."
    )
    reg: float = Field(
        20.0, gt=0, description="lambda_F, added to the diagonal. Source: M3Rec, 10 to 50."
    )


class Ease(Recommender):
    """EASE^R (Steck 2019): `B = I - C diag(1 / diag(C))` with `C = (X^T X + reg I)^-1`.

    The score is the user's history times B. Solved in float64; negative weights are kept.
    """

    name = "ease"
    summary = "closed-form linear item-item model"
    paper = "Steck 2019"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = EaseConfig
    uses_sources = True
    supports_fold_in = True
    closed_form = True
    config: EaseConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        merged = self.config.markets == "merged"
        names = train.markets if merged else (self.target,)
        # Items that no stacked market sells would only inflate the matrix to invert.
        items = np.unique(np.concatenate([train.catalogue(market) for market in names]))
        key = content_hash([self.name, train.fingerprint, self.get_config(), list(names)])
        weights = self.options.memory.get(key)
        if weights is None:
            stacked = vstack([train.matrix(market) for market in names]).tocsc()[:, items]
            weights = solve_ease(stacked, self.config.reg)
            if merged:
                self.options.memory[key] = weights
        self._items, self._weights = items, weights

    def serving_form(self) -> ItemItemForm:
        """The weights."""
        rows = self._items.astype(np.int32)
        merged = self.config.markets == "merged"
        return ItemItemForm(self.catalogue, rows, compact(self._weights), merged)

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._score_histories(self.history[users], items)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        places = np.minimum(np.searchsorted(self._items, items), len(self._items) - 1)
        # An item that nobody in these markets bought has no weights: its score is 0.
        columns = self._weights[:, places] * (self._items[places] == items)
        return np.asarray(histories.tocsr()[:, self._items] @ columns)


def solve_ease(matrix: csr_array, reg: float) -> NDArray[np.float32]:
    """Item-item weights of a binary users x items matrix, float32 [items, items]."""
    gram = np.asfortranarray((matrix.T @ matrix).toarray(), dtype=np.float64)
    gram[np.diag_indices_from(gram)] += reg
    # Cholesky in place: half the work and a third of the memory of a general inverse.
    factor, failed = lapack.dpotrf(gram, lower=1, overwrite_a=1, clean=0)
    inverse, failed_too = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise CrossmarketError("the EASE system could not be solved; raise its reg setting")
    inverse = np.tril(inverse)
    inverse += np.tril(inverse, -1).T
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return np.asarray(weights, dtype=np.float32)
