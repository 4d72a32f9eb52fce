"""Item vectors from random walks: skip-gram with negative sampling."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap
from crossmarket.graph.sparse import SparseMatrix
from crossmarket.graph.walks import ItemWalks, co_occurrence, stacked_matrix
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.network import (
    FittedNetwork,
    NetworkConfig,
    NetworkTask,
    data_key,
    fit_network,
    seeded,
    stage_kind,
)
from crossmarket.models.tables import tensor_hash
from crossmarket.models.validation import validation_on
from crossmarket.training.gathering import gather
from crossmarket.training.options import RunOptions
from crossmarket.training.walk_batches import WalkBatch, WalkSampler


class WalkConfig(NetworkConfig):
    """Settings of skip-gram on walks over the item-item graph, but for the width."""

    walk_length: int = Field(40, ge=2, description="Items of a walk. Source: ours, 40.")
    walks_per_item: int = Field(
        10, ge=1, description="Walks from each item, drawn anew each epoch. Source: ours, 10."
    )
    window: int = Field(
        10, ge=1, description="Most steps between the items of a pair. Source: M3Rec, 10."
    )
    num_negatives: int = Field(
        5, ge=1, description="Weight of negatives against one pair. Source: ours, 5."
    )
    shared_negatives: int = Field(
        40,
        ge=1,
        description="Items drawn for a walk that all its pairs share; together they weigh "
        "num_negatives for each pair. Source: ours.",
    )
    negative_power: float = Field(
        0.75,
        ge=0,
        description="Negatives are drawn by degree to this power. Source: word2vec, 0.75.",
    )
    init_std: float = Field(0.1, gt=0, description="Spread of the first vectors. Source: ours.")
    batch_size: int = Field(256, ge=1, description="Walks of a step. Source: ours.")
    epochs: int = Field(5, ge=0, description="Most passes over the items. Source: ours, 5.")
    learning_rate: float = Field(
        1e-2, gt=0, description="Rate of Adam. Source: ours; M3Rec 1e-3 for steps of 1024 pairs."
    )


class SkipGramConfig(WalkConfig):
    """Settings of `SkipGram`."""

    embedding_size: int = Field(128, ge=1, description="Width of a vector. Source: M3Rec, 128.")


class SkipGram(nn.Module):
    """Target and context vectors, smoothed over similar items where a similarity is given.

    Parameters
    ----------
    num_items : int
        Rows of the tables.
    config : SkipGramConfig
        Widths, window and negatives.
    similarity : SparseMatrix, optional
        B of `v = B V + V`; without it `v = V`.
    """

    def __init__(
        self, num_items: int, config: SkipGramConfig, similarity: SparseMatrix | None = None
    ) -> None:
        super().__init__()
        shape = (num_items, config.embedding_size)
        self.targets = nn.Parameter(torch.randn(shape) * config.init_std)
        self.contexts = nn.Parameter(torch.randn(shape) * config.init_std)
        self.similarity = similarity
        self.signs: Tensor
        self.weights: Tensor
        signs, weights = _pair_weights(config)
        self.register_buffer("signs", signs, persistent=False)
        self.register_buffer("weights", weights, persistent=False)
        self._num_pairs = float(weights[:, : config.walk_length].sum())

    def smoothed(self, table: Tensor) -> Tensor:
        """Vectors of all items, float32 [num_items, d]."""
        return table if self.similarity is None else self.similarity @ table + table

    def vectors(self) -> Tensor:
        """Target vectors of all items, float32 [num_items, d], without gradient tracking."""
        with torch.no_grad():
            return self.smoothed(self.targets).detach()

    def losses(self, batch: WalkBatch) -> dict[str, Tensor]:
        """Negated log likelihood, mean over the pairs of the walks."""
        width = self.targets.shape[1]
        centres = gather(self.smoothed(self.targets), batch.centres)
        contexts = gather(self.smoothed(self.contexts), batch.contexts)
        centres, contexts = (rows.view(batch.size, -1, width) for rows in (centres, contexts))
        logits = torch.bmm(centres, contexts.transpose(1, 2))
        total = (F.softplus(logits * self.signs) * self.weights).sum()
        return {"loss": total / (batch.size * self._num_pairs)}


def _pair_weights(config: SkipGramConfig) -> tuple[Tensor, Tensor]:
    """Signs [length + shared negatives] and weights [length, the same] of a walk's logits.

    A pair of the window weighs 1. The negatives of a centre together weigh `num_negatives` for
    each of its pairs.
    """
    places = torch.arange(config.walk_length)
    apart = (places[:, None] - places).abs()
    positive = ((apart > 0) & (apart <= config.window)).float()
    share = config.num_negatives / config.shared_negatives
    negative = positive.sum(dim=1, keepdim=True) * share
    weights = torch.cat([positive, negative.expand(-1, config.shared_negatives)], dim=1)
    signs = torch.ones(weights.shape[1])
    signs[: config.walk_length] = -1
    return signs, weights


def cosine_scores(users: FloatMatrix, items: FloatMatrix) -> FloatMatrix:
    """Cosine of user vectors [n, d] and item vectors [m, d], float32 [n, m]; 0 for no vector."""
    return np.asarray(unit_rows(users) @ unit_rows(items).T, dtype=np.float32)


def unit_rows(vectors: FloatMatrix) -> FloatMatrix:
    """Rows at length 1, float32 [n, d]; a row of zeros stays."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def fit_skip_gram(
    nodes: NodeMap,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: SkipGramConfig,
    options: RunOptions,
    similarity: csr_array | None = None,
) -> FittedNetwork[SkipGram]:
    """Learn vectors of the items of `nodes`; equal trainings are shared between systems.

    Where a validation part is given, it judges the mean vector of a user's items against the
    vector of each item.

    Parameters
    ----------
    nodes : NodeMap
        Markets whose users link items, and the items.
    train, valid : MarketDataset
        Training interactions; held-out ones for early stopping.
    config : SkipGramConfig
        Walks, widths and schedule.
    options : RunOptions
        Seed, threads, workspace.
    similarity : sparse [items, items], optional
        Regularises the vectors; see `SkipGram`.
    """
    smoothing = None if similarity is None else SparseMatrix.of(similarity, options.device)
    with seeded(options.seed):
        network = SkipGram(len(nodes.items), config, smoothing).to(options.device)

    def score(market: str, users: Rows, items: Rows) -> FloatMatrix:
        vectors = network.vectors().cpu().numpy()
        histories = train.matrix(market)[users][:, nodes.items]
        return cosine_scores(histories @ vectors, vectors[np.searchsorted(nodes.items, items)])

    def make_task(network: SkipGram) -> NetworkTask:
        walks = ItemWalks.of(co_occurrence(stacked_matrix(train, nodes)))
        sampler = WalkSampler(
            walks,
            config.walks_per_item,
            config.walk_length,
            config.shared_negatives,
            config.negative_power,
            options.device,
        )
        validation = validation_on(train, valid, nodes.markets, config.validation_users)
        return NetworkTask(
            network,
            lambda generator: sampler.batches(config.batch_size, generator),
            network.losses,
            validation,
            score,
        )

    entries = [] if similarity is None else [similarity.indptr, similarity.indices, similarity.data]
    return fit_network(
        network,
        config,
        options,
        kind=stage_kind(nodes.markets, "skip-gram"),
        inputs={
            "nodes": list(nodes.markets),
            "similarity": [tensor_hash(torch.from_numpy(part)) for part in entries],
            **data_key(train, valid, nodes.markets),
        },
        make_task=make_task,
        weight_decay=config.reg,
    )
