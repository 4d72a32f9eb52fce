"""Bi-TGCF as a recommender."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes, map_domains, map_nodes
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.bi_tgcf.config import BiTGCFConfig
from crossmarket.models.bi_tgcf.network import BiTGCFNetwork, MarketGraphs, read_out
from crossmarket.models.config import ModelConfig
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.network import FittedNetwork, data_key, fit_network, settle
from crossmarket.models.objectives import as_similarity
from crossmarket.models.tables import PairBatch, PairObjective, initial_table
from crossmarket.models.validation import Validation
from crossmarket.models.vectors import VectorTask
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler


class BiTGCF(EmbeddingRecommender):
    """Bi-directional transfer graph collaborative filtering (Liu et al. 2020), between markets.

    Every market has a graph, and an item a node of its own in each market that sells it. A layer
    propagates, `E + S + E * S` with `S = Ahat E`, drops out, then mixes the nodes of an item (see
    `transfer_matrix`). The read-out concatenates layer 0 and the layers at unit length; inner
    products are the logits of a binary cross entropy. One training serves every target; the mean
    validation metric over the markets decides when it stops.

    The paper transfers users between two domains. Here items are what markets share, and with
    more than two of them the other side is the mean over the others in which the item has
    training edges, the common features the mean over all, weighted by degree. The L2 penalty is
    that of the layer-0 rows of a batch, squared.
    """

    name = "bi-tgcf"
    summary = "graph propagation in each market, transfer through shared items"
    paper = "Liu et al. 2020"
    family = "cross-domain"
    config_class: ClassVar[type[ModelConfig]] = BiTGCFConfig
    presets: ClassVar = {"paper": {}, "no-transfer": {"transfer": False}}
    uses_sources = True
    config: BiTGCFConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        self._domains = map_domains(train, [(market,) for market in train.markets])
        self._fitted = fit_bi_tgcf(self._domains, train, valid, self.config, self.options)
        self._set_history(train)

    def _set_history(self, history: MarketDataset) -> None:
        graphs = MarketGraphs(self._domains, history, self.config, "cpu")
        layers = graphs.layers(self._fitted.network.table.detach().cpu())
        own = map_nodes(self.train, (self.target,))
        users = self._domains.user_nodes(self.target, np.arange(own.num_users))
        items = self._domains.item_nodes(own.items, self.target)
        rows = torch.from_numpy(np.concatenate([users, items]))
        self._keep_vectors(own, read_out(layers)[rows], self.config.similarity)
        roots = graphs.degrees[items].clamp(min=1).sqrt()[:, None]
        self._item_layers = [(layer[items] / roots).numpy() for layer in layers[:-1]]

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        """Score users whose layer 0 is zero: all they have is propagated from their items."""
        matrix = histories.tocsr()[:, self._nodes.items]
        sizes = np.maximum(np.diff(matrix.indptr), 1)
        weights = diags_array(1 / np.sqrt(sizes)) @ matrix
        layers = [torch.zeros(matrix.shape[0], self.config.embedding_size)]
        for carried in self._item_layers:
            sums = torch.from_numpy((weights @ carried).astype(np.float32))
            layers.append(torch.addcmul(layers[-1], layers[-1] + 1, sums))
        users = as_similarity(read_out(layers), self.config.similarity).numpy()
        return np.asarray(users @ self._item_vectors[self._positions(items)].T)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted)

    def num_trainable(self) -> int:
        """Count every scalar of the table of all markets."""
        return self._fitted.network.table.numel()


def fit_bi_tgcf(
    nodes: DomainNodes,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: BiTGCFConfig,
    options: RunOptions,
) -> FittedNetwork[BiTGCFNetwork]:
    """Train the layer-0 table of all markets' nodes on all their positives."""
    table = initial_table(nodes, config, options.seed).to(options.device)
    network = BiTGCFNetwork(table, MarketGraphs(nodes, train, config, options.device))

    def make_task(network: BiTGCFNetwork) -> VectorTask:
        sampler = PositiveSampler(train, nodes)
        objective = PairObjective(config, sampler, options.device)

        def batches(generator: np.random.Generator) -> Iterator[PairBatch]:
            for batch in sampler.batches(config.batch_size, generator):
                yield objective.prepare(batch, generator)

        def losses(batch: PairBatch) -> dict[str, Tensor]:
            return {"loss": objective.penalised(network(), network.table, batch)}

        validation = None if valid is None else Validation(train, valid, nodes.markets)
        return VectorTask(network, batches, losses, validation, nodes, config.similarity)

    return fit_network(
        network,
        config,
        options,
        kind="all-bi-tgcf",
        inputs=data_key(train, valid, nodes.markets),
        make_task=make_task,
    )
