"""Recall of rare and frequent items: which systems find what sells little (DCMPT, Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.counts import training_counts
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Label of each group with its least and most training interactions in the target market.
GROUPS = (("0", 0, 0), ("1-5", 1, 5), ("6-10", 6, 10), ("over 10", 11, None))


def compute(setting: Setting) -> pl.DataFrame:
    """Recall@10 of each item group: `market, system, group, seed, interactions, recall`.

    Held-out interactions are grouped by how often their item is in the market's training part;
    the recall of a group is the share of its interactions that are in their user's list of 10.
    """
    hits = setting.comparison().hits()
    counts = training_counts(setting, "item_id")
    joined = hits.join(counts, on=["seed", "market", "item_id"], how="left")
    label = pl.lit(None, dtype=pl.String)
    for name, least, most in GROUPS:
        inside = pl.col("count") >= least
        if most is not None:
            inside &= pl.col("count") <= most
        label = pl.when(inside).then(pl.lit(name)).otherwise(label)
    grouped = joined.with_columns(label.alias("group")).group_by(
        "market", "system", "group", "seed"
    )
    table = grouped.agg(pl.len().alias("interactions"), (pl.col("rank") > 0).mean().alias("recall"))
    order = {
        "market": list(setting.markets),
        "system": [system.title for system in setting.systems],
        "group": [name for name, _, _ in GROUPS],
    }
    return in_order(table, order, "seed")


def draw(table: pl.DataFrame) -> Figure:
    """One panel a market, one bar a system in each group."""
    return grouped_bars(
        table,
        panel="market",
        group="group",
        series="system",
        value="recall",
        heading="Recall@10 of rare and frequent items",
        group_label="training interactions of the item in the market",
        value_label="Recall@10",
        most=1.0,
    )


ANALYSIS = Analysis(
    name="item-groups",
    summary="Recall of held-out items by how often their item was sold: who finds rare items.",
    source="DCMPT, Fig. 4",
    compute=compute,
    draw=draw,
    systems=("Popularity", "EASE^R merged", "LightGCN merged", "MAML", "FOREC", "DCMPT"),
)
