"""Three items that histories of several markets have in common."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError

#: Longer histories are not looked at: their triples are too many, their heat maps too large.
MAX_HISTORY = 20


def shared_triple(
    train: MarketDataset, markets: Sequence[str]
) -> tuple[frozenset[int], dict[str, int]]:
    """The three items that histories of most markets contain together.

    Of several, the one that most users have; then the lowest item rows.

    Returns
    -------
    Item rows, and the user row of each market, in order, with the shortest history that has them.

    Raises
    ------
    DataError
        If no triple is in two markets.
    """
    found = {market: _triples(train, market) for market in markets}
    codes, places = np.unique(
        np.concatenate([np.unique(codes) for codes, _ in found.values()]), return_counts=True
    )
    if not len(codes) or places.max() < 2:
        raise DataError(
            f"no three items are together in histories of at most {MAX_HISTORY} items in two "
            "markets; choose other markets"
        )
    best = codes[places == places.max()]
    carriers = np.zeros(len(best), dtype=np.int64)
    for own, _ in found.values():
        spots = np.searchsorted(best, own)
        hit = best[np.minimum(spots, len(best) - 1)] == own
        carriers += np.bincount(spots[hit], minlength=len(best))
    code = int(best[np.argmax(carriers)])
    size = len(train.items)
    triple = frozenset((code // size**2, code // size % size, code % size))
    users = {}
    for market, (own, who) in found.items():
        having = np.unique(who[own == code])
        if len(having):
            lengths = np.bincount(train.edges(market).users)[having]
            users[market] = int(having[np.argmin(lengths)])
    return triple, users


def _triples(train: MarketDataset, market: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each triple of each short history as one number, and whose it is."""
    edges, size = train.edges(market), len(train.items)
    lengths = np.bincount(edges.users, minlength=len(train.users(market)))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    codes, owners = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for length in range(3, MAX_HISTORY + 1):
        users = np.flatnonzero(lengths == length)
        picks = np.array(list(combinations(range(length), 3)))
        # Edges are sorted by user, then item, so a triple has one order of its items.
        taken = edges.items[starts[users][:, None, None] + picks[None]].astype(np.int64)
        codes.append(((taken[..., 0] * size + taken[..., 1]) * size + taken[..., 2]).ravel())
        owners.append(np.repeat(users, len(picks)))
    return np.concatenate(codes), np.concatenate(owners)
