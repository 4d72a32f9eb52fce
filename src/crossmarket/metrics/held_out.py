"""Metrics of many users at once, in blocks, from any scoring function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.metrics.ranking import ranking_metrics

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
    needs_history : bool
        Count only users with an interaction in `excluded`.
    """

    def __init__(
        self,
        relevant: csr_array,
        excluded: csr_array,
        candidates: NDArray[np.integer],
        *,
        needs_history: bool = False,
    ) -> None:
        counts = np.diff(relevant.indptr)
        if needs_history:
            counts = counts * (np.diff(excluded.indptr) > 0)
        self.users = np.nonzero(counts)[0]
        self.candidates = candidates
        self._relevant = relevant[self.users][:, candidates]
        self._excluded = excluded[self.users][:, candidates]

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
        size = max(1, _BLOCK_BYTES // (4 * max(1, len(self.candidates))))
        parts: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
        for start in range(0, len(self.users), size):
            block = slice(start, start + size)
            scores = score(self.users[block])
            masked = self._excluded[block].tocoo()
            scores[masked.row, masked.col] = -np.inf
            hits = self._relevant[block].tocoo()
            values = ranking_metrics(scores, hits.row, hits.col, list(metrics))
            for name in metrics:
                parts[name].append(values[name])
        empty = np.zeros(0)
        return {name: np.concatenate(part) if part else empty for name, part in parts.items()}
