"""M3Rec: item similarities mined on all markets, local corrections learned in each."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from crossmarket.artifact.forms import VectorForm
from crossmarket.data.dataset import MarketDataset
from crossmarket.files import content_hash
from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.sparse import normalise_rows
from crossmarket.graph.walks import stacked_matrix
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig
from crossmarket.models.ease import solve_ease
from crossmarket.models.local_markets import LocalMarkets
from crossmarket.models.local_vectors import LocalConfig, LocalNetwork, LocalSampler
from crossmarket.models.network import (
    FittedNetwork,
    NetworkTask,
    data_key,
    fit_network,
    freeze,
    seeded,
    settle,
    stage_config,
)
from crossmarket.models.skip_gram import (
    SkipGram,
    SkipGramConfig,
    WalkConfig,
    fit_skip_gram,
    unit_rows,
)
from crossmarket.models.validation import validation_on


class M3RecConfig(LocalConfig):
    """Settings of `M3Rec`; rate, epochs and batches are those of the local stage."""

    intra: bool = Field(
        True, description="Smooth vectors and histories over similar items. Source: M3Rec."
    )
    inter: bool = Field(
        True,
        description="Take global item vectors from walks; otherwise the local stage trains a "
        "random table. Source: M3Rec.",
    )
    embedding_size: int = Field(128, ge=1, description="Width of a vector. Source: M3Rec, 128.")
    ease_reg: float = Field(
        20.0, gt=0, description="lambda_F of the EASE weights. Source: M3Rec, 10 to 50."
    )
    threshold: float = Field(
        0.01, gt=0, description="Smallest EASE weight that is kept. Source: M3Rec, 0.01 to 0.02."
    )
    init_std: float = Field(0.1, gt=0, description="Spread of a random table. Source: ours.")
    skip_gram: WalkConfig = Field(
        WalkConfig(), description="Walks and their training. Source: M3Rec."
    )


#: Chosen on validation. With the paper's weight of the negatives, 1, the items that users have in
#: common fall together and lists get worse, not better, in the local stage.
TUNED: dict[str, Any] = {
    "negative_weight": 10.0,
    "learning_rate": 3e-3,
    "batch_size": 2048,
    "epochs": 12,
    "skip_gram": {"walks_per_item": 2, "epochs": 8},
}


class M3Rec(Recommender):
    """M3Rec (Cao et al. 2022): similarity within a market, similarity between markets.

    Stage A (equations 3, 4 and 7): B, the positive EASE weights of all markets merged, of rows
    that sum to 1. Stage B (5, 6, 8 and 9): global item vectors from walks, see `SkipGram`. Stage
    C (10 to 13), all markets together, each with its items' part of B, renormalised:
    `V = V_glob + V_loca` and `U = RowNormalise(X B) V + U_loca`; the cosine of u and v is raised
    for positives and, above a margin, lowered for negatives. One training serves every target.

    Left open by the paper and chosen here: global vectors and B stay fixed in stage C, the local
    tables start at zero, only that of items is penalised, dropout is on u and v. The sign of the
    negatives in (9), a misprint, is the usual one. Without `intra`, `v = V` stands in (8), of
    which `B = I` would be the double, and `U = RowNormalise(X) V + U_loca` in (11).
    """

    name = "m3rec"
    summary = "similar items of all markets, corrected locally"
    paper = "Cao et al. 2022"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = M3RecConfig
    presets: ClassVar = {
        "paper": {},
        "default": TUNED,
        "no-intra": {**TUNED, "intra": False},
        "no-inter": {**TUNED, "inter": False},
        "no-similarity": {**TUNED, "intra": False, "inter": False},
    }
    uses_sources = True
    supports_fold_in = True
    config: M3RecConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        similarity = self._mine_similarity(train) if self.config.intra else None
        markets = LocalMarkets.of(train, similarity)
        with seeded(self.options.seed):
            vectors = self._global_vectors(train, valid, similarity)
        network = LocalNetwork(markets, vectors, self.config, self.options.device)
        network.to(self.options.device)
        if self.config.inter:
            freeze(network.everywhere)
        self._fitted = self._learn(network, train, valid)
        self._vectors = self._fitted.network.vectors_of(self.target)

    def _global_vectors(
        self, train: MarketDataset, valid: MarketDataset | None, similarity: csr_array | None
    ) -> Tensor:
        """V_glob to start from, float32 [items, d]."""
        nodes = map_nodes(train, train.markets)
        self._walks: FittedNetwork[SkipGram] | None = None
        if not self.config.inter:
            shape = (len(nodes.items), self.config.embedding_size)
            return torch.randn(shape) * self.config.init_std
        settings = stage_config(SkipGramConfig, self.config, self.config.skip_gram)
        self._walks = fit_skip_gram(nodes, train, valid, settings, self.options, similarity)
        return self._walks.network.vectors()

    def _learn(
        self, network: LocalNetwork, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[LocalNetwork]:
        def score(market: str, users: Rows, items: Rows) -> FloatMatrix:
            histories = train.matrix(market)[users]
            return network.vectors_of(market).score(histories, items, users)

        def make_task(network: LocalNetwork) -> NetworkTask:
            sampler = LocalSampler(train, network.markets, self.config, self.options.device)
            looked_at = self.config.validation_users
            validation = validation_on(train, valid, train.markets, looked_at)
            return NetworkTask(network, sampler.batches, network.losses, validation, score)

        return fit_network(
            network,
            self.config,
            self.options,
            kind=f"all-{self.name}",
            inputs=data_key(train, valid, train.markets),
            make_task=make_task,
        )

    def _mine_similarity(self, train: MarketDataset) -> csr_array:
        """B of all markets, float32 [items, items]; mined once for all targets."""
        settings = [self.config.ease_reg, self.config.threshold]
        key = content_hash([self.name, train.fingerprint, settings])
        similarity = self.options.memory.get(key)
        if similarity is None:
            matrix = stacked_matrix(train, map_nodes(train, train.markets))
            weights = solve_ease(matrix, self.config.ease_reg)
            weights[weights < self.config.threshold] = 0
            similarity = normalise_rows(csr_array(weights))
            self.options.memory[key] = similarity
        return similarity

    def serving_form(self) -> VectorForm:
        """Vectors of users and items; items with similar ones carry theirs to new users."""
        vectors = self._vectors
        histories = vectors.markets.weights(self.target, self.history)
        users = histories @ vectors.smoothed + vectors.users[: len(self.users)]
        similarity = vectors.markets.similarity
        carries = np.ones(len(self.catalogue), dtype=bool)
        if similarity is not None:
            carries = np.diff(similarity[self.target].indptr) > 0
        return VectorForm(
            users=unit_rows(users),
            items=unit_rows(vectors.items),
            rows=self.catalogue[carries],
            carried=vectors.smoothed[carries],
            power=1.0,
            similarity="cosine",
        )

    def _scorable(self) -> Rows:
        return self.catalogue

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return self._vectors.score(self.history[users], items, users)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        return self._vectors.score(histories.tocsr(), items)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted, skip_gram=self._walks)

    def num_trainable(self) -> int:
        """Count the local tables, and the global one where it is not fixed."""
        named = self._fitted.network.parameters()
        return sum(tensor.numel() for tensor in named if tensor.requires_grad)
