"""Means of a comparison's results: over the users of each market, or of any groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl


def market_means(
    records: Sequence[Mapping[str, Any]], metrics: Sequence[str], *, macro: str
) -> pl.DataFrame:
    """Means over the users of each market: `market, system, seed` and the metrics.

    Parameters
    ----------
    records : sequence of mappings
        As `Comparison.run` gives them.
    metrics : sequence of str
        Their columns in the table.
    macro : str
        In place of a market: the name of the mean over the markets, each with the same weight.
    """
    rows = [
        (market, record["title"], record["seed"], *(means[metric] for metric in metrics))
        for record in records
        for market, means in [*record["markets"].items(), (macro, record["macro"])]
    ]
    return pl.DataFrame(rows, schema=("market", "system", "seed", *metrics), orient="row")


def group_means(per_user: pl.DataFrame, *groups: str, **others: pl.Expr) -> pl.DataFrame:
    """Mean of NDCG@10 over the users of each group, in any order.

    Parameters
    ----------
    per_user : polars.DataFrame
        As `Comparison.run` gives it, with any columns beside.
    *groups : str
        Columns; users that are alike in all of them are a group.
    **others : polars.Expr
        What else to tell of a group, by the column's name.

    Returns
    -------
    The groups' columns, those of `others`, and `ndcg`.
    """
    return per_user.group_by(*groups).agg(**others, ndcg=pl.col("ndcg@10").mean())
