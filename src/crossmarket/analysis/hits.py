"""Held-out interactions in groups, and who finds those of each group."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from crossmarket.analysis.base import Setting, in_order


def by_group(setting: Setting, hits: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Metrics of each group of held-out interactions.

    Parameters
    ----------
    hits : polars.DataFrame
        As `Comparison.hits` gives them, with the name of its group in the column `group`.
    names : sequence of str
        The groups in the order of the table; rows of other groups are left out.

    Returns
    -------
    `market, system, group, seed, interactions, recall@10, mrr@10, recall@10_error,
    mrr@10_error`: recall is the share of a group's interactions that are in their user's list of
    10, MRR the mean of 1 / place in the list, 0 outside it; then their standard errors over
    interactions, null where there is one. Where each user holds out one item, all are over users.
    """
    places = pl.col("rank")
    values = hits.with_columns(
        (places > 0).cast(pl.Float64).alias("recall@10"),
        pl.when(places > 0).then(1 / places).otherwise(0.0).alias("mrr@10"),
    )
    means = pl.col("recall@10", "mrr@10")
    table = values.group_by("market", "system", "group", "seed").agg(
        pl.len().alias("interactions"),
        means.mean(),
        (means.std() / pl.len().sqrt()).name.suffix("_error"),
    )
    return in_order(table, setting, "market", "system", "group", "seed", group=names)
