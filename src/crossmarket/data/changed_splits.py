"""Splits changed on purpose: with less to learn from, without companions, with a leak."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossmarket.data.dataset import Edges, MarketDataset
from crossmarket.data.splits import (
    Split,
    market_generator,
    merge_edges,
    ratio_labels,
    ratio_split,
    require_times,
)
from crossmarket.errors import DataError, UsageError


def launch_split(split: Split, target: str, fraction: float) -> Split:
    """Keep only a share of the target's training interactions; the other markets stay whole.

    The kept sets are nested: for one seed, a smaller fraction keeps a subset of a larger one.
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"launch fraction {fraction} must lie in (0, 1]")
    edges = split.train.edges(target)
    order = market_generator(split.seed + 1, target).permutation(len(edges))
    kept = np.sort(order[: max(1, round(fraction * len(edges)))])
    details = {**split.details, "launch": {"target": target, "fraction": fraction}}
    return replace(
        split,
        name=f"{split.name}-launch",
        details=details,
        train=split.train.replace_edges({target: edges.select(kept)}),
    )


def thin_users(split: Split, target: str, share: float) -> Split:
    """Keep a share of each user's training interactions in the target; all else stays.

    `launch_split` takes a share of the market as a whole, so that users disappear from training;
    here every user stays, with a shorter history. For one seed, a smaller share keeps a subset of
    a larger one, and every user of the training part keeps at least one interaction.

    Parameters
    ----------
    split : Split
        What to thin.
    target : str
        Market that is thinned; the other markets stay whole.
    share : float
        Share of each user's interactions to keep, above 0 and at most 1.

    Raises
    ------
    UsageError
        If the share is out of range or the market unknown.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share {share} of a user's interactions must lie in (0, 1]")
    edges = split.train.edges(target)
    chance = market_generator(split.seed + 3, target).random(len(edges))
    order = np.lexsort((chance, edges.users))
    counts = np.bincount(edges.users)
    starts = np.cumsum(counts) - counts
    places = np.empty(len(edges), dtype=np.int64)
    places[order] = np.arange(len(edges)) - starts[edges.users[order]]
    kept = places < np.maximum(np.rint(share * counts), 1)[edges.users]
    return replace(
        split,
        name=f"{split.name}-thinned",
        details={**split.details, "thinned": {"target": target, "share": share}},
        train=split.train.replace_edges({target: edges.select(kept)}),
    )


def drop_companions(split: Split) -> Split:
    """Set aside what a user took on the same day as something held out.

    People buy several things at once; under a random split some of a basket is in training and
    gives the rest away. Training keeps no interaction of a day on which the user has one in
    validation or test, validation none of a day with one in test. Days are UTC days.

    Raises
    ------
    DataError
        If an interaction has no time, or a market keeps no training interaction.
    """
    require_times(split.train, "a split without companions")
    train, valid, aside = {}, {}, {}
    for market in split.train.markets:
        parts = [part.edges(market) for part in (split.train, split.valid, split.test)]
        days = [_user_days(edges) for edges in parts]
        late = np.isin(days[1], days[2])
        early = np.isin(days[0], np.concatenate(days[1:]))
        train[market], valid[market] = parts[0].select(~early), parts[1].select(~late)
        aside[market] = merge_edges(parts[0].select(early), parts[1].select(late))
        if not len(train[market]):
            raise DataError(
                f"every training interaction of market {market!r} shares its day with a held-out "
                "one; leave the market out or keep the companions"
            )
    counts = {market: len(edges) for market, edges in aside.items()}
    return replace(
        split,
        name=f"{split.name}-without-companions",
        details={**split.details, "companions": counts},
        train=split.train.replace_edges(train),
        valid=split.valid.replace_edges(valid),
        set_aside=split.train.replace_edges(aside),
    )


def _user_days(edges: Edges) -> NDArray[np.int64]:
    """One number for each (user, day) of the edges."""
    return edges.users.astype(np.int64) * 1_000_000 + edges.timestamps // 86_400


def leaky_split(dataset: MarketDataset, *, seed: int = 0) -> Split:
    """`ratio_split` with the leak of a published code planted in it, to measure what it gives.

    DCMPT's public code draws one 80/10/10 split for pre-training and another, independent one for
    the target. Here the training part holds both training draws, so about 80 % of the test and of
    the validation interactions are learned from. Test and validation parts are those of
    `ratio_split` with the same seed, so the two can be compared user by user.

    Parameters
    ----------
    seed : int
        Seed of both draws.
    """
    honest = ratio_split(dataset, seed=seed)
    train, leaked = {}, {}
    for market in dataset.markets:
        edges = dataset.edges(market)
        own = ratio_labels(len(edges), market_generator(seed, market))
        other = ratio_labels(len(edges), market_generator(seed + 7, market))
        train[market] = edges.select((own == 0) | (other == 0))
        leaked[market] = int(np.count_nonzero((own == 2) & (other == 0)))
    details = {**honest.details, "leaked": leaked}
    return replace(honest, name="dcmpt-leaky", details=details, train=dataset.replace_edges(train))
