"""Recommenders whose score is a similarity of a user vector and an item vector."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from torch import Tensor

from crossmarket.artifact.forms import VectorForm
from crossmarket.graph.bipartite import BipartiteGraph, NodeMap
from crossmarket.graph.propagation import propagate
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.objectives import Similarity, as_similarity


class EmbeddingRecommender(Recommender):
    """Scores by propagated vectors; a bare history is folded in through its items."""

    supports_fold_in = True
    #: What each item carries to a new user, float32 [items, d]; None where it is no such sum.
    _carried: FloatMatrix | None = None

    def _set_vectors(
        self,
        nodes: NodeMap,
        layer0: Tensor,
        graph: BipartiteGraph,
        num_layers: int,
        similarity: Similarity,
        finish: Callable[[Tensor], Tensor] = lambda vectors: vectors,
    ) -> None:
        """Propagate, let `finish` have its way with the result, keep what scoring reads."""
        with torch.no_grad():
            vectors = finish(propagate(graph, layer0, num_layers))
            self._keep_vectors(nodes, vectors, similarity)
            self._carried = carry(graph, layer0, num_layers)[nodes.num_users :].cpu().numpy()

    def _keep_vectors(self, nodes: NodeMap, vectors: Tensor, similarity: Similarity) -> None:
        similar = as_similarity(vectors, similarity).cpu().numpy()
        self._nodes, self._similarity = nodes, similarity
        lengths = vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12).cpu()
        #: What brings vectors to the scale of the similarity, float32 [nodes, 1].
        self._lengths = lengths if similarity == "cosine" else torch.ones_like(lengths)
        start = nodes.user_starts[self.target]
        self._user_vectors = similar[start : start + len(self.users)]
        self._item_vectors = similar[nodes.num_users :]

    def serving_form(self) -> VectorForm:
        """Vectors of users and items, and what items carry to a new user."""
        items, carried = self._item_vectors, self._carried
        return VectorForm(
            users=self._user_vectors,
            items=items[self._positions(self.catalogue)],
            rows=self._nodes.items,
            carried=carried if carried is not None and carried.any() else None,
            similarity=self._similarity,
            shared=items if self._shares_items() else None,
        )

    def _shares_items(self) -> bool:
        """Whether every target has the same item vectors."""
        return False

    def item_vectors(self, items: Rows) -> FloatMatrix:
        """Vectors of item rows [n], float32 [n, d], as scoring compares them.

        They are propagated; with cosine similarity each has length 1.
        """
        return np.asarray(self._item_vectors[self._positions(items)])

    def _scorable(self) -> Rows:
        return self._nodes.items

    def _positions(self, items: Rows) -> NDArray[np.int64]:
        return np.searchsorted(self._nodes.items, items)

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        scores = self._user_vectors[users] @ self._item_vectors[self._positions(items)].T
        return np.asarray(scores, dtype=np.float32)

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        matrix = histories.tocsr()[:, self._nodes.items]
        sizes = np.maximum(np.diff(matrix.indptr), 1)
        assert self._carried is not None  # `_set_vectors` was called
        vectors = diags_array(1 / np.sqrt(sizes)) @ (matrix @ self._carried)
        users = as_similarity(torch.from_numpy(vectors.astype(np.float32)), self._similarity)
        return np.asarray(users.numpy() @ self._item_vectors[self._positions(items)].T)


def carry(graph: BipartiteGraph, layer0: Tensor, num_layers: int) -> Tensor:
    """What each node carries to a new neighbour, float32 [num_nodes, d].

    A new user has no vector of its own: its l-th layer is the weighted sum of its items' (l-1)-th
    layers, so the sum of layers 0..L-1 of each item is all it takes.
    """
    carried = propagate(graph, layer0, max(num_layers - 1, 0)) * num_layers
    roots = graph.degrees.clamp(min=1).sqrt()
    return carried / roots[:, None] / (num_layers + 1)
