"""Who does well in sparse and who in rich markets (DCMPT, Fig. 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.counts import training_counts
from crossmarket.analysis.means import group_means
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GROUPS = ("sparse", "rich")


def compute(setting: Setting) -> pl.DataFrame:
    """NDCG@10 of each market with its group: `group, market, system, seed, interactions, ndcg`.

    The markets are halved by their training interactions; of an odd number the one in the middle
    is rich. The paper's own groups (sparse: ca, uk, jp; rich: fr, mx, de) are not used: in the
    data, ca and uk are the two largest markets.
    """
    _, per_user = setting.comparison().run()
    counts = training_counts(setting, "user_id")
    sizes = counts.group_by("seed", "market").agg(pl.col("count").sum().alias("interactions"))
    totals = dict(sizes.group_by("market").agg(pl.col("interactions").sum()).iter_rows())
    ranked = sorted(setting.markets, key=lambda market: (totals[market], market))
    half = len(ranked) // 2
    group = {market: GROUPS[place >= half] for place, market in enumerate(ranked)}
    means = group_means(per_user, "market", "system", "seed")
    table = sizes.join(means, on=["market", "seed"]).with_columns(
        pl.col("market").replace_strict(group, return_dtype=pl.String).alias("group")
    )
    columns = ("group", "market", "system", "seed")
    return in_order(table, setting, *columns, group=GROUPS, market=ranked)


def draw(table: pl.DataFrame) -> Figure:
    """A panel for each group, its markets from small to large and their mean."""
    over = table.group_by("group", "system", "seed", maintain_order=True).agg(pl.col("ndcg").mean())
    means = over.with_columns(pl.lit("mean").alias("place"))
    sizes = pl.format(
        "{}\n{}", "market", pl.col("interactions").mean().over("market").round(0).cast(pl.Int64)
    )
    columns = ["group", "place", "system", "seed", "ndcg"]
    shown = pl.concat(
        [table.with_columns(sizes.alias("place")).select(columns), means.select(columns)]
    )
    kept = pl.concat([shown.filter(pl.col("group") == group) for group in GROUPS])
    return grouped_bars(
        kept.with_columns(pl.col("group") + " markets"),
        panel="group",
        group="place",
        series="system",
        value="ndcg",
        heading="Sparse and rich markets",
        group_label="market, with its number of training interactions",
        value_label="NDCG@10",
        same_groups=False,
        share_y=True,
    )


ANALYSIS = Analysis(
    name="market-groups",
    summary="NDCG@10 in the markets with few and in those with many training interactions.",
    source="DCMPT, Fig. 3",
    compute=compute,
    draw=draw,
    systems=("Popularity", "EASE^R merged", "MAML", "FOREC", "CAT-SR", "ACMR", "DCMPT"),
)
