"""Random walks over the items that share users."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from crossmarket.artifact.forms import Form, VectorForm
from crossmarket.artifact.forms.item_item import ItemItemForm, compact
from crossmarket.data.dataset import MarketDataset
from crossmarket.files import content_hash
from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.sparse import normalise_rows
from crossmarket.graph.walks import co_occurrence, stacked_matrix
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig
from crossmarket.models.network import settle
from crossmarket.models.presets import SINGLE_AND_MERGED
from crossmarket.models.skip_gram import SkipGramConfig, cosine_scores, fit_skip_gram, unit_rows


class RandomWalkConfig(SkipGramConfig):
    """Settings of `RandomWalk`."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose users link items. Source: M3Rec, 'Mix' is merged."
    )
    scores: Literal["skip-gram", "exact"] = Field(
        "skip-gram",
        description="Vectors learned from sampled walks, or the probabilities of walks "
        "themselves. Source: M3Rec, skip-gram.",
    )
    steps: int = Field(1, ge=1, le=3, description="Steps of exact walks. Source: ours.")


class RandomWalk(Recommender):
    """Walks over the item-item graph `A = X^T X`, the "Random Walk" of M3Rec (Cao et al. 2022).

    A walk goes from item to item with `P = Deg^-1 A`. Skip-gram with negative sampling learns
    item vectors from the walks; the paper leaves a user's score open, here it is the cosine of
    the mean vector of the user's items and the item's vector. With `scores="exact"` nothing is
    learned: the score is `X_u P^steps`, how likely a walk from the user's items ends there.
    """

    name = "random-walk"
    summary = "skip-gram on random walks over items"
    paper = "Cao et al. 2022"
    family = "single or merged"
    config_class: ClassVar[type[ModelConfig]] = RandomWalkConfig
    presets: ClassVar = {**SINGLE_AND_MERGED, "exact": {"scores": "exact"}}
    uses_sources = True
    supports_fold_in = True
    config: RandomWalkConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        merged = self.config.markets == "merged"
        self._nodes = map_nodes(train, train.markets if merged else (self.target,))
        self._fitted = None
        if self.config.scores == "exact":
            self._reached = self._walk(train)
            return
        settings = self.config.part(SkipGramConfig)
        self._fitted = fit_skip_gram(self._nodes, train, valid, settings, self.options)
        self._vectors = self._fitted.network.vectors().cpu().numpy()

    def _walk(self, train: MarketDataset) -> NDArray[np.float32]:
        """Probability that a walk from an item ends at an item, float32 [items, items]."""
        read = train.select_markets(self._nodes.markets).fingerprint
        key = content_hash([self.name, read, list(self._nodes.markets), self.config.steps])
        reached = self.options.memory.get(key)
        if reached is None:
            shared = co_occurrence(stacked_matrix(train, self._nodes))
            step = normalise_rows(shared.astype(np.float32))
            reached = step.toarray()
            for _ in range(self.config.steps - 1):
                reached = step @ reached
            self.options.memory[key] = reached
        return np.asarray(reached)

    def _scorable(self) -> Rows:
        return self._nodes.items

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._score_histories(self.history[users], items)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        known = histories.tocsr()[:, self._nodes.items]
        places = np.searchsorted(self._nodes.items, items)
        if self.config.scores == "exact":
            return np.asarray(known @ self._reached[:, places])
        return cosine_scores(known @ self._vectors, self._vectors[places])

    def serving_form(self) -> Form:
        """Vectors, of which a user's is the mean of its items', or the probabilities."""
        merged, rows = self.config.markets == "merged", self._nodes.items
        if self.config.scores == "exact":
            return ItemItemForm(self.catalogue, rows, compact(self._reached), merged)
        items = unit_rows(self._vectors)
        return VectorForm(
            users=unit_rows(self.history[:, rows] @ self._vectors),
            items=items[np.searchsorted(rows, self.catalogue)],
            rows=rows,
            carried=self._vectors,
            power=1.0,
            similarity="cosine",
            shared=items if merged else None,
        )

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted)

    def num_trainable(self) -> int:
        """Count every scalar of the tables; exact walks have none."""
        if self._fitted is None:
            return 0
        return sum(tensor.numel() for tensor in self._fitted.network.parameters())
