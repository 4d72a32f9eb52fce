"""Who serves cold users and who warm ones (FOREC, Fig. 5a)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.counts import training_counts
from crossmarket.analysis.means import group_means
from crossmarket.analysis.panels import lines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Number of groups, which are as equally large as can be.
NUM_GROUPS = 5


def compute(setting: Setting) -> pl.DataFrame:
    """Each market's users in five groups: `market, system, group, seed, users, interactions, ndcg`.

    Group 1 holds the users with the fewest training interactions in the market, `interactions` is
    their mean number; users with equally many are taken in the order of their ids, so that all
    groups are equally large. Only users that the protocol counts are there. Every system learns
    from all other markets, where the paper has one source.
    """
    _, per_user = setting.comparison().run()
    keys = ["seed", "market", "user_id"]
    users = per_user.select(keys).unique().join(training_counts(setting, "user_id"), on=keys)
    grouped = pl.concat(
        part.sort("count", "user_id").with_columns(_groups(part.height))
        for part in users.partition_by("seed", "market")
    )
    joined = per_user.join(grouped, on=keys)
    groups = ("market", "system", "group", "seed")
    interactions = pl.col("count").mean()
    table = group_means(joined, *groups, users=pl.len(), interactions=interactions)
    return in_order(table, setting, *groups)


def _groups(count: int) -> pl.Series:
    """Numbers from 1 for `count` rows in a row, each about equally often."""
    sizes = [len(part) for part in np.array_split(np.arange(count), NUM_GROUPS)]
    return pl.Series("group", np.repeat(np.arange(1, NUM_GROUPS + 1), sizes))


def draw(table: pl.DataFrame) -> Figure:
    """A panel for each market, a line for each system."""
    size = pl.col("interactions").mean().over("market", "group").round(1)
    return lines(
        table.with_columns(pl.format("{}\n({})", "group", size).alias("text")),
        panel="market",
        x="group",
        series="system",
        value="ndcg",
        heading="Cold and warm users",
        x_label="group of users, from cold to warm (mean training interactions of a user)",
        value_label="NDCG@10",
        ticks="text",
    )


ANALYSIS = Analysis(
    name="user-groups",
    summary="NDCG@10 of five groups of users, from the fewest training interactions to the most.",
    source="FOREC, Fig. 5a",
    compute=compute,
    draw=draw,
    systems=("NMF", "NMF++", "MAML", "FOREC"),
    protocol="forec",
)
