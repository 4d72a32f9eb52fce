"""Held-out items sold in several markets against items of one market only (M3Rec, Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHARED, OWN = "several markets", "this one only"


def compute(setting: Setting) -> pl.DataFrame:
    """`market, system, group, seed, interactions, recall@10, mrr@10`.

    Held-out interactions are grouped by whether their item is sold in any other market of the
    data. Recall is the share of a group's interactions that are in their user's list of 10; MRR
    is the mean of 1 / place in the list, 0 outside it. Where each user holds out one item, both
    are means over users, as in the paper.
    """
    hits = setting.comparison().hits()
    train = setting.protocol.split(setting.data, setting.seeds[0]).train
    sold = [pl.Series(train.items.take(train.catalogue(name))) for name in train.markets]
    sellers = pl.concat(sold).value_counts(name="sellers")
    sellers = sellers.select(pl.first().alias("item_id"), "sellers")
    group = pl.when(pl.col("sellers") > 1).then(pl.lit(SHARED)).otherwise(pl.lit(OWN))
    places = pl.col("rank")
    table = (
        hits.join(sellers, on="item_id", how="left")
        .group_by("market", "system", group.alias("group"), "seed")
        .agg(
            pl.len().alias("interactions"),
            (places > 0).mean().alias("recall@10"),
            pl.when(places > 0).then(1 / places).otherwise(0.0).mean().alias("mrr@10"),
        )
    )
    order = {
        "market": list(setting.markets),
        "system": [system.title for system in setting.systems],
        "group": [SHARED, OWN],
    }
    return in_order(table, order, "seed")


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
