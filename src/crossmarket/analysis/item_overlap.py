"""Held-out items sold in several markets against items of one market only (M3Rec, Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.hits import by_group
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARED, OWN = "several markets", "this one only"


def compute(setting: Setting) -> pl.DataFrame:
    """What `by_group` gives, by whether any other market of the data sells the held-out item."""
    hits = setting.comparison().hits()
    train = setting.protocol.split(setting.data, setting.seeds[0]).train
    sold = [pl.Series(train.items.take(train.catalogue(name))) for name in train.markets]
    sellers = pl.concat(sold).value_counts(name="sellers")
    sellers = sellers.select(pl.first().alias("item_id"), "sellers")
    group = pl.when(pl.col("sellers") > 1).then(pl.lit(SHARED)).otherwise(pl.lit(OWN))
    grouped = hits.join(sellers, on="item_id", how="left").with_columns(group.alias("group"))
    return by_group(setting, grouped, [SHARED, OWN])


def draw(table: pl.DataFrame) -> Figure:
    """One panel a market, one bar a system in each group."""
    return grouped_bars(
        table,
        panel="market",
        group="group",
        series="system",
        value="mrr@10",
        heading="Who finds items of several markets, who those of one",
        group_label="markets that sell the held-out item",
        value_label="mrr@10",
    )


ANALYSIS = Analysis(
    name="item-overlap",
    summary="MRR@10 and recall@10 of items sold in several markets and of items sold in one.",
    source="M3Rec, Table 4",
    compute=compute,
    draw=draw,
    systems=(
        "Popularity",
        "EASE^R single",
        "EASE^R merged",
        "M3Rec",
        "M3Rec without both",
        "DCMPT",
    ),
    protocol="loo-999",
)
