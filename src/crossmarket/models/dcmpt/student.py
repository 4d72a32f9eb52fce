"""The prompted student: frozen features, a graph, and prompts that travel through it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import BipartiteGraph, NodeMap, map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.dcmpt.backbone import table_rows
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.tables import Tables


@dataclass(frozen=True)
class View:
    """One market as the student sees it.

    Propagation is linear, so `Prop(X + Alpha P) = Prop(X) + Prop(Alpha) P`: the first term is
    computed once and a step propagates M columns instead of d (the fast form of DCMPT).

    Attributes
    ----------
    nodes : NodeMap
        The market's users and items; rows of all vectors below.
    features : float32 [n, d]
        X_T, what the attention reads.
    table : float32 [N, d]
        Layer-0 features of every node of `graph`.
    graph : BipartiteGraph
        Where prompts and features travel; N nodes.
    rows : int64 [n]
        Nodes of `graph` that are this market's.
    base : float32 [n, d]
        `Prop(X)` at the market's nodes.
    scale : float32 [n, 1]
        Factor of each vector: 1, or L+1 at isolated nodes where these are scaled.
    num_layers : int
        L.
    inject : str
        `input` or `output`.
    """

    nodes: NodeMap
    features: Tensor
    table: Tensor
    graph: BipartiteGraph
    rows: Tensor
    base: Tensor
    scale: Tensor
    num_layers: int
    inject: str

    def vectors(self, bank: PromptBank | None) -> Tensor:
        """Student vectors of the market's nodes by the fast form, float32 [n, d]."""
        if bank is None:
            return self.base * self.scale
        if self.inject == "output":
            return self.base * self.scale + self.prompts(bank)
        mixture = self._propagate(bank.mixture(self.features, self.nodes.num_users))
        return (self.base + mixture @ bank.basis) * self.scale

    def prompts(self, bank: PromptBank) -> Tensor:
        """The prompt psi of each of the market's nodes, float32 [n, d]."""
        return bank.mixture(self.features, self.nodes.num_users) @ bank.basis

    def prompted_table(self, bank: PromptBank | None) -> Tensor:
        """Layer-0 table X + psi of every node of the graph (the direct form)."""
        if bank is None or self.inject == "output":
            return self.table
        return self.table.index_add(0, self.rows, self.prompts(bank))

    def _propagate(self, columns: Tensor) -> Tensor:
        if len(self.rows) == self.graph.num_nodes:
            return propagate(self.graph, columns, self.num_layers)
        spread = columns.new_zeros(self.graph.num_nodes, columns.shape[1])
        spread = spread.index_add(0, self.rows, columns)
        return propagate(self.graph, spread, self.num_layers).index_select(0, self.rows)


def view_market(
    config: DCMPTConfig, edges: MarketDataset, market: str, backbone: Tables, device: str
) -> View:
    """Lay out a market for the student.

    Parameters
    ----------
    edges : MarketDataset
        Interactions the graph is made of: the training part, or a longer history when scoring.
    """
    nodes = map_nodes(edges, (market,))
    own = torch.from_numpy(table_rows(backbone, nodes)).to(device)
    table = backbone.layer0.to(device)
    if config.graph == "combined":
        if set(backbone.nodes.markets) != set(edges.markets):
            raise UsageError("graph=combined needs a backbone of all markets; set pretrain=merged")
        graph, rows = backbone.nodes.graph_of(edges).to(device), own
    else:
        graph = nodes.graph_of(edges).to(device)
        table, rows = table.index_select(0, own), torch.arange(len(own), device=device)
    num_layers = config.backbone.num_layers
    propagated = propagate(graph, table, num_layers).index_select(0, rows)
    raw = table.index_select(0, rows)
    scale = torch.ones(len(rows), 1, device=device)
    if config.isolated == "scale":
        scale[graph.degrees.index_select(0, rows) == 0] = num_layers + 1
    features = raw if config.feature == "layer0" else propagated
    return View(nodes, features, table, graph, rows, propagated, scale, num_layers, config.inject)


def seen_matrix(train: MarketDataset, nodes: NodeMap) -> Tensor:
    """Training interactions of a one-market map, bool [users, items]."""
    (market,) = nodes.markets
    seen = np.zeros((nodes.num_users, len(nodes.items)), dtype=bool)
    edges = train.edges(market)
    seen[edges.users, nodes.item_nodes(edges.items) - nodes.num_users] = True
    return torch.from_numpy(seen)
