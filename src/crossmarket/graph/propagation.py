"""LightGCN propagation: the mean of a table and its neighbourhood averages (He et al. 2020)."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from crossmarket.graph.bipartite import BipartiteGraph
from crossmarket.graph.sparse import SparseMatrix, SparseRows


def neighbour_sum(graph: BipartiteGraph, table: Tensor, scale: float = 1.0) -> Tensor:
    """Compute `scale * Ahat @ table` (float32 [num_nodes, d]) without gradient tracking."""
    return F.embedding_bag(
        graph.neighbours,
        table,
        graph.offsets,
        mode="sum",
        per_sample_weights=graph.values if scale == 1 else graph.values * scale,
        include_last_offset=True,
    )


def layer_mean(graph: BipartiteGraph, table: Tensor, num_layers: int) -> Tensor:
    """Compute `1/(L+1) * sum_l Ahat^l table` by Horner's rule, one product a layer."""
    table = table.contiguous()
    total = table
    for _ in range(num_layers - 1):
        total = neighbour_sum(graph, total).add_(table)
    # The mean's factor rides along with the last product instead of costing a pass of its own.
    share = 1 / (num_layers + 1)
    return neighbour_sum(graph, total, share).add_(table, alpha=share)


class _Propagation(torch.autograd.Function):
    # Ahat is symmetric, so the whole map is its own adjoint: backward is forward. The built-in
    # gradients of sparse products and of embedding_bag are many times slower.
    @staticmethod
    def forward(ctx: Any, table: Tensor, graph: BipartiteGraph, num_layers: int) -> Tensor:
        ctx.graph, ctx.num_layers = graph, num_layers
        return layer_mean(graph, table, num_layers)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return layer_mean(ctx.graph, grads[0], ctx.num_layers), None, None


def propagate(graph: BipartiteGraph, table: Tensor, num_layers: int) -> Tensor:
    """Propagate a table of node features over the graph.

    Parameters
    ----------
    graph : BipartiteGraph
        Normalised adjacency.
    table : float32 [num_nodes, d]
        Layer-0 features; users first, then items.
    num_layers : int
        Number of products L; 0 returns the table itself.

    Returns
    -------
    float32 [num_nodes, d] : `1/(L+1) * sum_{l=0..L} Ahat^l table`, differentiable in `table`.
    """
    if num_layers == 0:
        return table
    return cast(Tensor, _Propagation.apply(table, graph, num_layers))  # type: ignore[no-untyped-call]


def adjacency(graph: BipartiteGraph) -> SparseMatrix:
    """The normalised adjacency for single differentiable products; symmetric, its own adjoint."""
    rows = SparseRows(graph.offsets, graph.neighbours, graph.values)
    return SparseMatrix(rows, rows)
