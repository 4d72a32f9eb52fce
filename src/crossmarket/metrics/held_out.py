"""Metrics of many users at once, in blocks, from any scoring function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.metrics.ranking import ranking_metrics, top_k

#: Bytes of scores held at once; small enough to stay near the processor's caches.
_BLOCK_BYTES = 16_000_000


class HeldOut:
    """Users with held-out items and the candidates these are ranked among.

    Parameters
    ----------
    relevant : sparse [users, items]
        Held-out interactions. Users without any do not count.
    excluded : sparse [users, items]
        Interactions whose items are taken out of the user's candidates.
    candidates : int [c]
        Sorted item rows that are ranked.
    included : sparse [users, items], optional
        Rank each user's held-out items only among these (a sampled protocol); all `candidates`
        otherwise.
    among : bool [users], optional
        Count only these users.
    """

    def __init__(
        self,
        relevant: csr_array,
        excluded: csr_array,
        candidates: NDArray[np.integer],
        *,
        included: csr_array | None = None,
        among: NDArray[np.bool_] | None = None,
    ) -> None:
        counts = np.diff(relevant.indptr)
        self.users = np.nonzero(counts if among is None else counts * among)[0]
        self.candidates = candidates
        self._relevant = relevant[self.users][:, candidates]
        self._excluded = excluded[self.users][:, candidates]
        self._included = None if included is None else included[self.users][:, candidates]

    def __len__(self) -> int:
        return len(self.users)

    def evaluate(
        self,
        score: Callable[[NDArray[np.int64]], NDArray[np.float32]],
        metrics: Sequence[str],
    ) -> dict[str, NDArray[np.float64]]:
        """Compute each metric for each user.

        Parameters
        ----------
        score : callable
            Takes user rows [b], returns float32 [b, number of candidates]; may be overwritten.
        metrics : sequence of str
            Names such as `ndcg@10`.

        Returns
        -------
        dict of metric name to float64 [users], in the order of `users`.
        """
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
        for start in range(0, len(self.users), self._block_size):
            block = slice(start, start + self._block_size)
            scores = self.mask(score(self.users[block]), block)
            hits = self._relevant[block].tocoo()
            values = ranking_metrics(scores, hits.row, hits.col, list(metrics))
            for name in metrics:
                parts[name].append(values[name])
        empty = np.zeros(0)
        return {name: np.concatenate(part) if part else empty for name, part in parts.items()}

    def mask(self, scores: NDArray[np.float32], block: slice) -> NDArray[np.float32]:
        """Set the scores of a block of `users` to -inf wherever an item is no candidate."""
        if self._included is not None:
            kept = self._included[block].tocoo()
            only = np.full_like(scores, -np.inf)
            only[kept.row, kept.col] = scores[kept.row, kept.col]
            return only
        masked = self._excluded[block].tocoo()
        scores[masked.row, masked.col] = -np.inf
        return scores

    def top_lists(
        self, score: Callable[[NDArray[np.int64]], NDArray[np.float32]], k: int
    ) -> NDArray[np.int64]:
        """Item rows of each user's k best candidates, int64 [users, k]; -1 where fewer exist."""
        parts = [np.zeros((0, k), dtype=np.int64)]
        for start in range(0, len(self.users), self._block_size):
            block = slice(start, start + self._block_size)
            columns, _ = top_k(self.mask(score(self.users[block]), block), k)
            parts.append(np.where(columns >= 0, self.candidates[columns], -1))
        return np.concatenate(parts)

    def arrays(self) -> list[NDArray[np.integer]]:
        """Integers that pin down users, candidates, held-out and excluded items."""
        matrices = [self._relevant, self._excluded, self._included]
        parts = [part for matrix in matrices if matrix is not None for part in _structure(matrix)]
        return [self.users, self.candidates, *parts]

    @property
    def _block_size(self) -> int:
        return max(1, _BLOCK_BYTES // (4 * max(1, len(self.candidates))))


def _structure(matrix: csr_array) -> list[NDArray[np.integer]]:
    ordered = matrix.sorted_indices()
    return [ordered.indptr, ordered.indices]
