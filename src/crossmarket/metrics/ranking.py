"""Top-N ranking metrics in which tied scores take their expected value.

A model that gives equal scores leaves the order of those candidates open. Every metric here is the
exact mean over all orders of each group of equal scores, in closed form: no lucky column order, no
random tie breaking. Without ties they are the usual definitions, with `G` the relevant items of a
user, `K` the cut-off and `rank` counted from 1:

- `recall@K`: `|top K and G| / |G|`;
- `hit@K`: 1 if any of `G` is in the top K;
- `ndcg@K`: `sum 1 / log2(rank + 1)` over hits, as a share of `min(|G|, K)` hits on the first ranks;
- `mrr@K`: `1 / rank` of the first relevant item, 0 if that rank exceeds K;
- `map@K`: `sum precision@rank` over hits, divided by `min(|G|, K)`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossmarket.errors import DataError, UsageError
from crossmarket.metrics import ties
from crossmarket.metrics.ties import Floats, Ints, Scores, TieGroups, group_ties

_KINDS: dict[str, Callable[[TieGroups, int], Floats]] = {
    "ndcg": ties.ndcg,
    "recall": ties.recall,
    "hit": ties.hit,
    "mrr": ties.mrr,
    "map": ties.average_precision,
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric kind and its cut-off; `str()` gives the name back, e.g. `ndcg@10`."""

    kind: str
    k: int

    def __str__(self) -> str:
        return f"{self.kind}@{self.k}"


def parse_metric(name: str) -> Metric:
    """Read a metric name such as `ndcg@10`.

    Raises
    ------
    UsageError
        If the kind is unknown or the cut-off is not a positive whole number.
    """
    match = re.fullmatch(r"([a-z]+)@([1-9][0-9]*)", name)
    if match is None or match[1] not in _KINDS:
        kinds = ", ".join(_KINDS)
        raise UsageError(f"there is no metric {name!r}; write kind@k, e.g. ndcg@10, kinds: {kinds}")
    return Metric(match[1], int(match[2]))


def ranking_metrics(
    scores: Scores, rows: NDArray[np.integer], columns: NDArray[np.integer], names: Iterable[str]
) -> dict[str, Floats]:
    """Per-user values of ranking metrics, ties taking their expected value.

    Parameters
    ----------
    scores : float32 or float64 [B, I]
        Scores of all candidates of B users, higher is better; -inf marks an excluded candidate.
    rows, columns : integer [n]
        The relevant (user, candidate) pairs, in any order; a pair given twice counts once. A
        relevant candidate that is itself excluded is missed: it stays in the denominators.
    names : iterable of str
        Metric names for `parse_metric`.

    Returns
    -------
    dict of name to float64 [B], in the order of `names`; NaN for a user without relevant items.

    Raises
    ------
    UsageError
        If a metric name is wrong, or a pair lies outside the scores.
    DataError
        If a score is NaN.
    """
    metrics = {name: parse_metric(name) for name in names}
    _refuse_nan(scores)
    groups = group_ties(scores, rows, columns)
    return {name: _KINDS[metric.kind](groups, metric.k) for name, metric in metrics.items()}


def top_k(scores: Scores, k: int) -> tuple[Ints, Scores]:
    """The k best candidates of each user; ties go to the lower column, so the answer is unique.

    Parameters
    ----------
    scores : float32 or float64 [B, I]
        Higher is better; -inf marks an excluded candidate, which is never returned.
    k : int
        Length of the lists, at least 1.

    Returns
    -------
    items : int64 [B, k]
        Columns, best first; -1 where a user has fewer than k candidates.
    scores : same dtype as given [B, k]
        Their scores; -inf where `items` is -1.

    Raises
    ------
    UsageError
        If k is below 1.
    DataError
        If a score is NaN.
    """
    if k < 1:
        raise UsageError(f"a list needs a length of at least 1, not k={k}")
    _refuse_nan(scores)
    num_users, num_items = scores.shape
    items = np.full((num_users, k), -1, dtype=np.int64)
    best = np.full((num_users, k), -np.inf, dtype=scores.dtype)
    width = min(k, num_items)
    if width == 0:
        return items, best
    # Row by row: a row stays in the cache from step to step, a block of rows does not.
    for place, row in enumerate(scores):
        columns = _best_columns(row, width)
        items[place, :width] = columns
        best[place, :width] = row[columns]
    items[np.isneginf(best)] = -1
    return items, best


def _best_columns(row: Scores, width: int) -> Ints:
    """Columns of the `width` largest scores, best first, lower columns first among ties."""
    last = len(row) - width
    threshold = np.partition(row, last)[last]
    columns = np.flatnonzero(row >= threshold)
    if len(columns) > width:  # ties straddle the end of the list
        above = columns[row[columns] > threshold]
        tied = columns[row[columns] == threshold]
        columns = np.sort(np.concatenate([above, tied[: width - len(above)]]))
    # The columns ascend, so a stable sort leaves ties at the lower column.
    return columns[np.argsort(-row[columns], kind="stable")]


def _refuse_nan(scores: Scores) -> None:
    if scores.size and np.isnan(scores.min()):
        row, column = np.argwhere(np.isnan(scores))[0]
        raise DataError(
            f"the score of row {row}, candidate {column} is not a number; "
            "a model that diverged cannot be ranked, lower its learning rate"
        )
