"""Metrics of many users at once, in blocks, from any scoring function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.metrics.ranking import ranking_metrics, top_k

Score = Callable[[NDArray[np.int64]], NDArray[np.float32]]
ScoreLists = Callable[[NDArray[np.int64], NDArray[np.integer]], NDArray[np.float32]]
Places = NDArray[np.integer]

#: Bytes of scores held at once; small enough to stay near the processor's caches.
_BLOCK_BYTES = 16_000_000


@dataclass(frozen=True)
class Ranked:
    """What ranking the candidates gave.

    Attributes
    ----------
    values : dict of metric name to float64 [users]
        In the order of `HeldOut.users`.
    lists : int64 [users, length]
        Item rows, best first; -1 where a user has fewer candidates.
    """

    values: dict[str, NDArray[np.float64]]
    lists: NDArray[np.int64]


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
        Rank each user's held-out items only among these, themselves included (a sampled
        protocol); all `candidates` otherwise.
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
        self._included = None
        if included is not None:
            self._included = (included + relevant).tocsr()[self.users][:, candidates]

    def __len__(self) -> int:
        return len(self.users)

    def rank(
        self,
        score: Score,
        metrics: Sequence[str],
        length: int = 0,
        score_lists: ScoreLists | None = None,
    ) -> Ranked:
        """Compute each metric and the best candidates of each user in one pass over the scores.

        Parameters
        ----------
        score : callable
            Takes user rows [b], returns float32 [b, number of candidates]; may be overwritten.
        metrics : sequence of str
            Names such as `ndcg@10`.
        length : int
            Length of the lists; 0 for none.
        score_lists : callable, optional
            Takes user rows [b] and item rows [b, k], returns float32 [b, k]; used where only
            `included` items are ranked, so that nothing else needs to be scored.
        """
        values: dict[str, list[NDArray[np.float64]]] = {name: [] for name in metrics}
        lists = [np.zeros((0, length), dtype=np.int64)]
        for start in range(0, len(self.users), self._block_size):
            block = slice(start, start + self._block_size)
            if self._included is not None and score_lists is not None:
                scores, rows, columns, items = self._score_included(block, score_lists)
            else:
                scores = self.mask(score(self.users[block]), block)
                hits = self._relevant[block].tocoo()
                rows, columns = hits.row, hits.col
                items = self.candidates[None, :]
            for name, part in ranking_metrics(scores, rows, columns, list(metrics)).items():
                values[name].append(part)
            if length:
                best, _ = top_k(scores, length)
                named = np.take_along_axis(
                    np.broadcast_to(items, scores.shape), np.maximum(best, 0), axis=1
                )
                lists.append(np.where(best >= 0, named, -1))
        empty = np.zeros(0)
        joined = {name: np.concatenate(part) if part else empty for name, part in values.items()}
        return Ranked(joined, np.concatenate(lists))

    def _score_included(
        self, block: slice, score_lists: ScoreLists
    ) -> tuple[NDArray[np.float32], Places, Places, Places]:
        """Scores of a block's own candidates, the places of the relevant ones, the item rows."""
        assert self._included is not None
        own = self._included[block].sorted_indices()
        sizes = np.diff(own.indptr)
        width = int(sizes.max(initial=0))
        filled = np.arange(width) < sizes[:, None]
        columns = np.zeros(filled.shape, dtype=np.int64)
        columns[filled] = own.indices
        items = self.candidates[columns]
        scores = np.where(filled, score_lists(self.users[block], items), -np.inf)
        hits = self._relevant[block].tocoo()
        keys = np.repeat(np.arange(len(sizes)), sizes) * len(self.candidates) + own.indices
        found = np.searchsorted(keys, hits.row.astype(np.int64) * len(self.candidates) + hits.col)
        return scores.astype(np.float32), hits.row, found - own.indptr[hits.row], items

    def evaluate(self, score: Score, metrics: Sequence[str]) -> dict[str, NDArray[np.float64]]:
        """Each metric of each user, float64 [users], in the order of `users`; see `rank`."""
        return self.rank(score, metrics).values

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

    def top_lists(self, score: Score, k: int) -> NDArray[np.int64]:
        """Item rows of each user's k best candidates, int64 [users, k]; -1 where fewer exist."""
        return self.rank(score, [], k).lists

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
