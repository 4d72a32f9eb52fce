"""Properties of recommended lists that need no held-out interactions.

A list is a row of item rows, best first; -1 marks an empty place, as `ranking.top_k` gives it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossmarket.errors import UsageError


def coverage(lists: NDArray[np.integer], num_items: int) -> float:
    """Share of the catalogue that is in at least one list, from 0 to 1.

    Parameters
    ----------
    lists : integer [B, k]
        Items of each list, in 0 ... num_items - 1.
    num_items : int
        Items in the catalogue, at least 1.

    Raises
    ------
    UsageError
        If the catalogue is empty or a list holds an item outside it.
    """
    return float(np.count_nonzero(_exposure(lists, num_items)) / num_items)


def gini(lists: NDArray[np.integer], num_items: int) -> float:
    """Gini coefficient of how often each item of the catalogue is listed.

    0 when all items are listed equally often, towards 1 when a few items fill all lists; NaN
    without any listed item. Parameters and errors as for `coverage`.
    """
    exposure = np.sort(_exposure(lists, num_items))
    total = exposure.sum()
    if total == 0:
        return float("nan")
    weights = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float(weights @ exposure / (num_items * total))


def popularity_bias(
    lists: NDArray[np.integer], counts: NDArray[np.integer] | NDArray[np.floating[Any]]
) -> float:
    """Average recommendation popularity relative to the average popularity of the catalogue.

    The average recommendation popularity (ARP) is the mean over users of the mean training count
    of the items in their list, as in Abdollahpouri, Burke and Mobasher, "Managing Popularity Bias
    in Recommender Systems with Personalized Re-Ranking", FLAIRS 2019. Divided by the mean count of
    the catalogue it compares between markets: 1 is what random lists get, 5 means that the
    recommended items are five times as popular as an average item.

    Parameters
    ----------
    lists : integer [B, k]
        Items of each list; users with an empty list are left out.
    counts : integer or float [num_items]
        Training interactions of each item of the catalogue.

    Returns
    -------
    float, NaN if no list holds an item or no item was ever interacted with.

    Raises
    ------
    UsageError
        If the catalogue is empty or a list holds an item outside it.
    """
    _exposure(lists, len(counts))
    filled = lists >= 0
    lengths = filled.sum(axis=1)
    served = lengths > 0
    if not served.any() or not np.any(counts):
        return float("nan")
    popularity = np.where(filled, np.asarray(counts, dtype=np.float64)[lists], 0).sum(axis=1)
    return float(np.mean(popularity[served] / lengths[served]) / np.mean(counts))


def _exposure(lists: NDArray[np.integer], num_items: int) -> NDArray[np.int64]:
    """How often each item is listed."""
    if num_items < 1:
        raise UsageError("lists cannot be compared with an empty catalogue; give its items")
    if lists.size and not -1 <= int(lists.min()) <= int(lists.max()) < num_items:
        raise UsageError(
            f"a list holds an item outside 0 ... {num_items - 1}; "
            "number the items by their place in the catalogue, -1 for an empty place"
        )
    return np.bincount(lists[lists >= 0].astype(np.int64), minlength=num_items)
