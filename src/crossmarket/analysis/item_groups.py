"""Recall of rare and frequent items: which systems find what sells little (DCMPT, Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.counts import training_counts
from crossmarket.analysis.hits import by_group
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Label of each group with its least and most training interactions in the target market.
GROUPS = (("0", 0, 0), ("1-5", 1, 5), ("6-10", 6, 10), ("over 10", 11, None))


def compute(setting: Setting) -> pl.DataFrame:
    """What `by_group` gives, by how often the held-out item is in the market's training part."""
    hits = setting.comparison().hits()
    counts = training_counts(setting, "item_id")
    joined = hits.join(counts, on=["seed", "market", "item_id"], how="left")
    label = pl.lit(None, dtype=pl.String)
    for name, least, most in GROUPS:
        inside = pl.col("count") >= least
        if most is not None:
            inside &= pl.col("count") <= most
        label = pl.when(inside).then(pl.lit(name)).otherwise(label)
    names = [name for name, _, _ in GROUPS]
    return by_group(setting, joined.with_columns(label.alias("group")), names)


def draw(table: pl.DataFrame) -> Figure:
    """One panel a market, one bar a system in each group."""
    return grouped_bars(
        table,
        panel="market",
        group="group",
        series="system",
        value="recall@10",
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
