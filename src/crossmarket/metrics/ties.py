"""Groups of tied scores, and the mean of each ranking metric over all orders within them.

`crossmarket.metrics.ranking` defines the metrics; here are their closed forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmarket.errors import UsageError

Scores = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Score entries looked at in one go, so that a comparison stays in the processor's cache.
BLOCK_ENTRIES = 1 << 19


@dataclass(frozen=True, slots=True)
class TieGroups:
    """Groups of equal scores that hold a relevant candidate, best group of a user first.

    A group's candidates share the ranks `above + 1 ... above + size`, in any order.

    Attributes
    ----------
    num_relevant : int64 [B]
        Relevant items of each user, the excluded ones too.
    users : int64 [n]
        Row of each group's user.
    above : int64 [n]
        Candidates with a higher score.
    size : int64 [n]
        Candidates in the group.
    relevant : int64 [n]
        Relevant candidates in the group.
    relevant_above : int64 [n]
        Relevant candidates with a higher score.
    """

    num_relevant: Ints
    users: Ints
    above: Ints
    size: Ints
    relevant: Ints
    relevant_above: Ints

    def per_user(self, values: Floats, best: Floats | Ints) -> Floats:
        """Sum the groups' values over each user, as a share of the user's best possible sum."""
        total = np.bincount(self.users, weights=values, minlength=len(self.num_relevant))
        known = self.num_relevant > 0
        shares = np.full(len(total), np.nan)
        np.divide(total, best, out=shares, where=known)
        return shares

    def mean_of_ranks(self, cumulative: Floats) -> Floats:
        """Mean over a group's ranks of a value per rank, given the values' running sums.

        `cumulative[r]` sums the values of the ranks 1 ... r; later ranks are worth nothing.
        """
        cutoff = len(cumulative) - 1
        first, last = np.minimum(self.above, cutoff), np.minimum(self.above + self.size, cutoff)
        means: Floats = (cumulative[last] - cumulative[first]) / self.size
        return means


def group_ties(
    scores: Scores, rows: NDArray[np.integer], columns: NDArray[np.integer]
) -> TieGroups:
    """Find the tie groups of the relevant pairs (`rows`, `columns`) among the scores [B, I].

    Raises
    ------
    UsageError
        If a pair lies outside the scores.
    """
    num_users, num_items = scores.shape
    users, candidates = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
    if np.any((users < 0) | (users >= num_users) | (candidates < 0) | (candidates >= num_items)):
        raise UsageError(f"a relevant pair lies outside the {num_users} x {num_items} scores")
    users, candidates = np.divmod(np.unique(users * num_items + candidates), max(num_items, 1))
    num_relevant = np.bincount(users, minlength=num_users)

    values = scores[users, candidates]
    ranked = ~np.isneginf(values)
    users, values = users[ranked], values[ranked]
    order = np.lexsort((-values, users))
    users, values = users[order], values[order]
    changes = (users[1:] != users[:-1]) | (values[1:] != values[:-1])
    starts = np.flatnonzero(np.concatenate([[len(users) > 0], changes]))
    first_of_user = np.searchsorted(users, users[starts])
    above, size = _count_above_and_equal(scores, users[starts], values[starts])
    return TieGroups(
        num_relevant=num_relevant,
        users=users[starts],
        above=above,
        size=size,
        relevant=np.diff(starts, append=len(users)),
        relevant_above=starts - first_of_user,
    )


def _count_above_and_equal(scores: Scores, rows: Ints, values: Scores) -> tuple[Ints, Ints]:
    """For each (row, value): how many scores of the row are greater, and how many equal."""
    above, at_least = np.empty((2, len(rows)), dtype=np.int64)
    step = max(1, BLOCK_ENTRIES // max(scores.shape[1], 1))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        block, value = scores[rows[part]], values[part, None]
        # A 32-bit accumulator makes the row sums of a mask several times faster.
        above[part] = (block > value).sum(axis=1, dtype=np.int32)
        at_least[part] = (block >= value).sum(axis=1, dtype=np.int32)
    return above, at_least - above


def _running_sums(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])


def recall(groups: TieGroups, k: int) -> Floats:
    """Expected recall@k of each user [B]."""
    in_top = groups.mean_of_ranks(np.arange(k + 1.0))
    return groups.per_user(groups.relevant * in_top, groups.num_relevant)


def ndcg(groups: TieGroups, k: int) -> Floats:
    """Expected nDCG@k of each user [B]."""
    gains = _running_sums(1 / np.log2(np.arange(2.0, k + 2)))
    ideal = gains[np.minimum(groups.num_relevant, k)]
    return groups.per_user(groups.relevant * groups.mean_of_ranks(gains), ideal)


def average_precision(groups: TieGroups, k: int) -> Floats:
    """Expected average precision at k of each user [B]."""
    # A relevant item at rank p has before it all relevant of better groups and, of the group's
    # other relevant - 1, the share that fell on the p - above - 1 ranks of the group before p:
    # precision@p = (relevant_above + 1 + (p - above - 1) * share) / p.
    share = (groups.relevant - 1) / np.maximum(groups.size - 1, 1)
    fixed = groups.relevant_above + 1 - (groups.above + 1) * share
    inverse_ranks = groups.mean_of_ranks(_running_sums(1 / np.arange(1.0, k + 1)))
    precision = fixed * inverse_ranks + share * groups.mean_of_ranks(np.arange(k + 1.0))
    return groups.per_user(groups.relevant * precision, np.minimum(groups.num_relevant, k))


def hit(groups: TieGroups, k: int) -> Floats:
    """Probability that the top k of each user holds a relevant item [B]."""
    return _first_relevant(groups, np.ones(k))


def mrr(groups: TieGroups, k: int) -> Floats:
    """Expected reciprocal rank at k of each user [B]."""
    return _first_relevant(groups, 1 / np.arange(1.0, k + 1))


def _first_relevant(groups: TieGroups, worth: Floats) -> Floats:
    """Expected worth of the rank of the user's first relevant candidate; `worth[0]` is rank 1."""
    k = len(worth)
    first = (groups.relevant_above == 0) & (groups.above < k)
    above, size, relevant = groups.above[first], groups.size[first], groups.relevant[first]
    none_yet = np.ones(len(above))  # probability that the ranks so far hold no relevant candidate
    values = np.zeros(len(above))
    # With r relevant of t, the first of them is at the latest on rank t - r + 1 of the group.
    for offset in range(min(k, int((size - relevant).max(initial=0)) + 1)):
        miss = np.maximum(size - relevant - offset, 0) / np.maximum(size - offset, 1)
        rank_worth = np.where(above + offset < k, worth[np.minimum(above + offset, k - 1)], 0)
        values += (none_yet - none_yet * miss) * rank_worth
        none_yet = none_yet * miss
    totals = np.zeros(len(groups.users))
    totals[first] = values
    return groups.per_user(totals, np.ones(len(groups.num_relevant)))
