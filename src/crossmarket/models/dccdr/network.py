"""The two graphs of DCCDR, and the contrast between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.graph.bipartite import BipartiteGraph
from crossmarket.graph.propagation import adjacency
from crossmarket.models.vectors import VectorNetwork


def contrast(target: Tensor, source: Tensor, temperature: float) -> Tensor:
    """Sum over shared items of the cross entropy of finding an item's other half.

    With cosines over the temperature, an item's invariant half in the target attracts that in the
    source. Against it stand its invariant and specific halves in the target, those in the source,
    its two specific halves, and the invariant halves of the other items in the source.

    Parameters
    ----------
    target, source : float [n, d]
        Vectors of the same items in the two domains: invariant half, specific half.
    temperature : float
        Divides the cosines.
    """
    inv_a, spec_a = (F.normalize(half, dim=-1) for half in target.chunk(2, dim=-1))
    inv_b, spec_b = (F.normalize(half, dim=-1) for half in source.chunk(2, dim=-1))
    between = inv_a @ inv_b.T
    own = [inv_a * spec_a, inv_b * spec_b, spec_a * spec_b]
    cosines = torch.cat([between, torch.stack([part.sum(dim=-1) for part in own], dim=1)], dim=1)
    logits = cosines / temperature
    return (logits.logsumexp(dim=1) - logits.diagonal()).sum()


class DCCDRNetwork(VectorNetwork):
    """A layer-0 table over the nodes of both domains, propagated in each."""

    def __init__(self, table: Tensor, graph: BipartiteGraph, num_layers: int) -> None:
        super().__init__()
        self.table = nn.Parameter(table)
        self.adjacency, self.num_layers = adjacency(graph), num_layers

    def layers(self) -> tuple[Tensor, Tensor]:
        """Mean of all layers and the last one, float32 [num_nodes, d] each."""
        last: Tensor = self.table
        total = last
        for _ in range(self.num_layers):
            last = self.adjacency @ last
            total = total + last
        return total / (self.num_layers + 1), last

    def forward(self) -> Tensor:
        """Return the mean of the layers of all nodes."""
        return self.layers()[0]
