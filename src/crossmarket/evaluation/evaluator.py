"""Scores of a fitted model under a protocol: per user, per market, overall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.data.splits import Split
from crossmarket.errors import DataError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.metrics.held_out import HeldOut
from crossmarket.metrics.lists import coverage, popularity_bias
from crossmarket.models.base import Recommender

#: Metrics that are always computed.
METRICS = ("ndcg@10", "recall@10", "hit@10", "mrr@10", "map@10")
#: Metrics of a market's lists as a whole.
LIST_METRICS = ("coverage@10", "popularity@10")
_LIST_LENGTH = 10


@dataclass(frozen=True)
class MarketEvaluation:
    """Result of one model in one market.

    Attributes
    ----------
    per_user : polars.DataFrame
        `market, user_id` and one column a metric; a row for each counted user.
    lists : dict
        `LIST_METRICS` of the market.
    hits : polars.DataFrame
        `market, user_id, item_id, rank`; a row for each held-out interaction of the counted
        users: its place in the user's list of 10, from 1, or 0 where it is not in it.
    """

    per_user: pl.DataFrame
    lists: dict[str, float]
    hits: pl.DataFrame


def evaluate_market(
    model: Recommender,
    protocol: Protocol,
    split: Split,
    market: str,
    metrics: Sequence[str] = METRICS,
) -> MarketEvaluation:
    """Rank the protocol's candidates for every counted user of a market.

    Raises
    ------
    DataError
        If the protocol leaves no user to count in this market.
    """
    held_out = protocol.held_out(split, market)
    if not len(held_out):
        raise DataError(
            f"{protocol.label} leaves no test user in market {market!r}; "
            "give it more data or leave the market out of the targets"
        )
    candidates = held_out.candidates
    ranked = held_out.rank(
        lambda users: model.score(users, candidates),
        list(metrics),
        _LIST_LENGTH,
        model.score_lists,
    )
    names = split.train.users(market).take(held_out.users)
    columns = {"user_id": names, **ranked.values}
    frame = pl.DataFrame(columns, schema_overrides={"user_id": pl.String})
    own = pl.lit(market).alias("market")
    hits = _hits(ranked.lists, held_out.users, split, market)
    lists = _list_metrics(ranked.lists, held_out, split, market)
    return MarketEvaluation(frame.select(own, pl.all()), lists, hits.select(own, pl.all()))


def _hits(
    lists: NDArray[np.int64], users: NDArray[np.int64], split: Split, market: str
) -> pl.DataFrame:
    """Each held-out interaction of some users with its place in the user's list."""
    relevant = split.test.matrix(market)[users].tocoo()
    found = lists[relevant.row] == relevant.col[:, None]
    ranks = np.where(found.any(axis=1), found.argmax(axis=1) + 1, 0)
    columns = {
        "user_id": split.test.users(market).take(users[relevant.row]),
        "item_id": split.test.items.take(relevant.col),
        "rank": ranks.astype(np.int32),
    }
    return pl.DataFrame(columns, schema_overrides={"user_id": pl.String, "item_id": pl.String})


def _list_metrics(
    lists: NDArray[np.int64], held_out: HeldOut, split: Split, market: str
) -> dict[str, float]:
    columns = np.searchsorted(held_out.candidates, np.maximum(lists, 0))
    counts = np.bincount(split.train.edges(market).items, minlength=len(split.train.items))
    positions = np.where(lists >= 0, columns, -1)
    return {
        "coverage@10": coverage(positions, len(held_out.candidates)),
        "popularity@10": popularity_bias(positions, counts[held_out.candidates]),
    }


def summarise(
    parts: Sequence[MarketEvaluation], metrics: Sequence[str] = METRICS
) -> dict[str, Any]:
    """Means over users: per market, over markets (macro), over all users (micro)."""
    markets: dict[str, dict[str, float]] = {}
    for part in parts:
        market = str(part.per_user["market"][0])
        means = {name: float(part.per_user[name].to_numpy().mean()) for name in metrics}
        markets[market] = {**means, **part.lists, "users": part.per_user.height}
    names = [*metrics, *LIST_METRICS]
    everyone = pl.concat([part.per_user for part in parts])
    return {
        "markets": markets,
        "macro": {name: float(np.mean([row[name] for row in markets.values()])) for name in names},
        "micro": {name: float(everyone[name].to_numpy().mean()) for name in metrics},
        "users": everyone.height,
    }
