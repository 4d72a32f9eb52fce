"""Item-based nearest neighbours."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_array, diags_array, vstack

from crossmarket.artifact.forms.item_item import ItemItemForm, SparseWeights, compact
from crossmarket.data.dataset import MarketDataset
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig


class ItemKNNConfig(ModelConfig):
    """Settings of `ItemKNN`."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose users link items. Source: control."
    )
    neighbours: int = Field(200, ge=1, description="Neighbours kept of each item. Source: control.")
    weighting: Literal["none", "tfidf"] = Field(
        "none", description="Weight of a user's interaction before the cosine. Source: control."
    )


class ItemKNN(Recommender):
    """Score an item by its cosine similarity to the items of the user's history."""

    name = "item-knn"
    summary = "item-item cosine over shared users"
    paper = "Sarwar et al. 2001"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = ItemKNNConfig
    uses_sources = True
    supports_fold_in = True
    closed_form = True
    config: ItemKNNConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        names = train.markets if self.config.markets == "merged" else (self.target,)
        matrix = vstack([train.matrix(market) for market in names]).tocsr().astype(np.float64)
        if self.config.weighting == "tfidf":
            # A user who took many items says less about each of them.
            counts = np.maximum(matrix.sum(axis=1), 1)
            matrix = diags_array(np.log1p(matrix.shape[1] / counts)) @ matrix
        norms = np.sqrt(np.maximum(matrix.multiply(matrix).sum(axis=0), 1e-12))
        matrix = (matrix @ diags_array(1 / norms)).tocsr()
        similarity = (matrix.T @ matrix).tocsr()
        similarity.setdiag(0)
        similarity.eliminate_zeros()
        self._similarity = _keep_largest(similarity, self.config.neighbours)

    def serving_form(self) -> ItemItemForm:
        """The similarities."""
        matrix = self._similarity
        weights = SparseWeights(
            matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
        )
        rows = np.arange(matrix.shape[0], dtype=np.int32)
        merged = self.config.markets == "merged"
        return ItemItemForm(self.catalogue, rows, compact(weights), merged)

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._score_histories(self.history[users], items)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        scores = histories @ self._similarity[:, items]
        return np.ascontiguousarray(scores.toarray(), dtype=np.float32)


def _keep_largest(matrix: csr_array, count: int) -> csr_array:
    """Keep the `count` largest entries of each column (ties: the lower row)."""
    columns = matrix.tocsc()
    columns.sort_indices()
    of = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    order = np.lexsort((columns.indices, -columns.data, of))
    place = np.arange(len(order)) - columns.indptr[of]
    kept = order[place < count]
    entries = (columns.data[kept].astype(np.float32), (columns.indices[kept], of[kept]))
    return csr_array(entries, shape=columns.shape)
