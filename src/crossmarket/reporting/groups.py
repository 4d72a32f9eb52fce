"""Recall@10 of users from cold to warm, and of items from rare to frequent."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.item_groups import GROUPS
from crossmarket.analysis.user_groups import NUM_GROUPS
from crossmarket.data.splits import Split
from crossmarket.evaluation.evaluator import MarketEvaluation
from crossmarket.reporting.material import Evaluation

_RECALL = "recall@10"
#: Columns of the tables of groups.
SCHEMA = {
    "market": pl.String,
    "group": pl.String,
    "count": pl.Int64,
    "size": pl.Float64,
    "run": pl.Float64,
    "popularity": pl.Float64,
}


def user_groups(
    evaluation: Evaluation, control: Mapping[str, MarketEvaluation], split: Split
) -> pl.DataFrame:
    """Users of each market in five equally large groups by their training interactions.

    Returns
    -------
    polars.DataFrame
        `SCHEMA`: `group` from `1` (coldest) up, `count` users, `size` their mean number of
        training interactions, Recall@10 of the run and of popularity.
    """
    rows = []
    for market in evaluation.markets:
        train = evaluation.protocol.for_target(split, market).train
        counts = np.bincount(train.edges(market).users, minlength=len(train.users(market)))
        own = evaluation.per_user.filter(pl.col("market") == market)
        known = pl.DataFrame({"user_id": train.users(market).ids, "count": counts})
        other = control[market].per_user.select("user_id", pl.col(_RECALL).alias("popularity"))
        users = own.join(known, on="user_id").join(other, on="user_id").sort("count", "user_id")
        places = np.array_split(np.arange(users.height), min(NUM_GROUPS, users.height))
        for number, inside in enumerate(places, start=1):
            part = users[inside.tolist()]
            means = [float(part[name].to_numpy().mean()) for name in
                     ("count", _RECALL, "popularity")]  # fmt: skip
            rows.append((market, str(number), part.height, *means))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def item_groups(
    evaluation: Evaluation, control: Mapping[str, MarketEvaluation], split: Split
) -> pl.DataFrame:
    """Held-out interactions of each market by how often their item was sold in training.

    Returns
    -------
    polars.DataFrame
        `SCHEMA`: `group` as the analysis `item-groups` names it, `count` held-out interactions,
        `size` the mean number of training interactions of their items, and the share of them in
        their user's list of 10, of the run and of popularity. Empty groups are left out.
    """
    rows = []
    for market in evaluation.markets:
        own = evaluation.hits.filter(pl.col("market") == market)
        train = evaluation.protocol.for_target(split, market).train
        counts = np.bincount(train.edges(market).items, minlength=len(train.items))
        keys = ["user_id", "item_id"]
        both = own.join(control[market].hits, on=keys, suffix="|control")
        sold = counts[train.items.rows(both["item_id"])]
        found = [both[name].to_numpy() > 0 for name in ("rank", "rank|control")]
        for name, least, most in GROUPS:
            inside = (sold >= least) & (sold <= (np.inf if most is None else most))
            if inside.any():
                shares = [_share(one[inside]) for one in found]
                rows.append((market, name, int(inside.sum()), float(sold[inside].mean()), *shares))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def _share(found: NDArray[np.bool_]) -> float:
    return float(found.mean())
