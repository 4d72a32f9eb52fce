"""Bi-TGCF: feature propagation in each market, feature transfer between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import block_diag, coo_array, csr_array, diags_array, eye_array
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes, map_domains, map_nodes
from crossmarket.graph.propagation import adjacency
from crossmarket.graph.sparse import SparseMatrix
from crossmarket.models.base import FloatMatrix, ModelConfig, Rows
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.layers import fast_dropout
from crossmarket.models.network import FittedNetwork, data_key, fit_network, settle
from crossmarket.models.objectives import as_similarity
from crossmarket.models.tables import PairBatch, PairObjective, TableConfig, initial_table
from crossmarket.models.validation import Validation
from crossmarket.models.vectors import VectorNetwork, VectorTask
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler


class BiTGCFConfig(TableConfig):
    """Settings of `BiTGCF`."""

    loss: Literal["bpr", "bce", "softmax"] = Field(
        "bce", description="Objective of the scores. Source: Bi-TGCF, binary cross entropy."
    )
    num_negatives: int = Field(
        10, ge=1, description="Sampled items of each positive. Source: M3Rec, 10."
    )
    num_layers: int = Field(2, ge=1, description="Propagation layers. Source: RecBole-CDR, 2.")
    own_share: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share lambda that a shared item keeps of its own market's features. Source: "
        "RecBole-CDR, 0.8.",
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Features dropped after each layer. Source: RecBole-CDR, 0.3."
    )
    transfer: bool = Field(
        True, description="Exchange features of shared items. Source: Bi-TGCF, true."
    )
    init_std: float = Field(
        0.01, gt=0, description="Standard deviation of the initial tables. Source: ours."
    )
    reg: float = Field(
        1e-3, ge=0, description="L2 penalty of a batch's rows. Source: RecBole-CDR, 1e-3."
    )
    batch_size: int = Field(1024, ge=1, description="Positives of a step. Source: M3Rec, 1024.")


def transfer_matrix(
    items: NDArray[np.integer], degrees: NDArray[np.integer], own_share: float
) -> csr_array:
    """Matrix that exchanges the features of one item's nodes between its markets.

    Row m of an item mixes its features `e_m`, those `e_o` averaged over the other markets in
    which it has edges, and `e_all` averaged over all, weighted by degree:
    `(own_share * e_m + (1 - own_share) * e_o + e_all) / 2`. An item without edges in another
    market keeps its features.

    Parameters
    ----------
    items : int [n]
        Item of each node.
    degrees : int [n]
        Edges at each node.
    own_share : float
        Share of the own features.

    Returns
    -------
    sparse [n, n], rows summing to 1.
    """
    size = len(items)
    places = np.arange(size)
    member = coo_array((np.ones(size), (places, items)), shape=(size, items.max(initial=0) + 1))
    same = csr_array(member @ member.T)
    active = (degrees > 0).astype(float)
    others = same @ diags_array(active) - diags_array(active)
    count = others.sum(axis=1)
    shared = (count > 0).astype(float)
    own = diags_array(1 - shared + shared * own_share / 2)
    mean = diags_array(shared * (1 - own_share) / 2 / np.maximum(count, 1)) @ others
    weighted = same @ diags_array(degrees.astype(float))
    weighted = diags_array(shared / 2 / np.maximum(weighted.sum(axis=1), 1)) @ weighted
    matrix = csr_array(own + mean + weighted)
    matrix.eliminate_zeros()
    return matrix


class MarketGraphs:
    """The graphs of all markets as the blocks of one, and the transfer between them.

    Parameters
    ----------
    nodes : DomainNodes
        Item nodes of each market.
    dataset : MarketDataset
        Interactions.
    config : BiTGCFConfig
        Share of the own features; whether there is a transfer.
    device : str
        Where the tensors live.
    """

    def __init__(
        self, nodes: DomainNodes, dataset: MarketDataset, config: BiTGCFConfig, device: str
    ) -> None:
        graph = nodes.graph_of(dataset)
        self.config, self.degrees = config, graph.degrees
        self.adjacency, self.transfer = adjacency(graph.to(device)), None
        if config.transfer:
            degrees = self.degrees[nodes.num_users :].numpy()
            items = transfer_matrix(nodes.items, degrees, config.own_share)
            matrix = csr_array(block_diag([eye_array(nodes.num_users), items]))
            self.transfer = SparseMatrix.of(matrix, device)

    def layers(self, table: Tensor, training: bool = False) -> list[Tensor]:
        """Features of all nodes after each layer, `num_layers + 1` of float32 [num_nodes, d]."""
        layers = [table]
        for _ in range(self.config.num_layers):
            features = layers[-1]
            sums = self.adjacency @ features
            features = torch.addcmul(features, features + 1, sums)
            features = fast_dropout(features, self.config.dropout, training)
            if self.transfer is not None:
                features = self.transfer @ features
            layers.append(features)
        return layers


def read_out(layers: list[Tensor]) -> Tensor:
    """Concatenate layer 0 and the others at unit length."""
    return torch.cat([layers[0], *(F.normalize(layer, dim=-1) for layer in layers[1:])], dim=-1)


class BiTGCFNetwork(VectorNetwork):
    """A layer-0 table over all markets' nodes, and its propagation."""

    def __init__(self, table: Tensor, graphs: MarketGraphs) -> None:
        super().__init__()
        self.table = nn.Parameter(table)
        self.graphs = graphs

    def forward(self) -> Tensor:
        """Return the read-out of all nodes, float32 [num_nodes, (num_layers + 1) * d]."""
        return read_out(self.graphs.layers(self.table, self.training))


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
