"""The layers of Bi-TGCF: propagation in each market, then transfer between an item's nodes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import block_diag, coo_array, csr_array, diags_array, eye_array
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes
from crossmarket.graph.propagation import adjacency
from crossmarket.graph.sparse import SparseMatrix
from crossmarket.models.bi_tgcf.config import BiTGCFConfig
from crossmarket.models.layers import fast_dropout
from crossmarket.models.vectors import VectorNetwork


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
