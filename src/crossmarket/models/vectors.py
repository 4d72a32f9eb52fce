"""Networks whose output is a vector for each node of a graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossmarket.graph.bipartite import NodeMap
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.network import NetworkTask
from crossmarket.models.objectives import Similarity, as_similarity
from crossmarket.models.validation import Validation, vector_scores


class VectorNetwork(nn.Module):
    """Vectors of all nodes of a graph; their similarity is the score of a pair."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the vectors, float32 [num_nodes, width]."""


class VectorTask(NetworkTask):
    """Training of a `VectorNetwork`; the vectors are computed once for each validation.

    Parameters
    ----------
    network : VectorNetwork
        The network.
    batches, losses : callable
        As in `NetworkTask`.
    validation : Validation or None
        What early stopping looks at.
    nodes : NodeMap
        Which vector is whose.
    similarity : {"dot", "cosine"}
        How two vectors make a score.
    """

    def __init__(
        self,
        network: VectorNetwork,
        batches: Callable[[np.random.Generator], Iterator[Any]],
        losses: Callable[[Any], dict[str, Tensor]],
        validation: Validation | None,
        nodes: NodeMap,
        similarity: Similarity,
    ) -> None:
        super().__init__(network, batches, losses, validation, self._score)
        self.nodes, self.similarity = nodes, similarity

    def validate(self) -> dict[str, float]:
        """Validation metrics of the current state."""
        if self.validation is not None:
            self.network.eval()
            with torch.no_grad():
                vectors = as_similarity(self.network(), self.similarity)
            self._scores = vector_scores(self.nodes, vectors)
        return super().validate()

    def _score(self, market: str, users: Rows, items: Rows) -> FloatMatrix:
        return self._scores(market, users, items)
