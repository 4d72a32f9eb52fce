"""A system with and without each of its parts (DCMPT Table 2, ACMR Fig. 3, M3Rec Table 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.means import market_means
from crossmarket.analysis.panels import grouped_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("ndcg@10", "recall@10")
MACRO = "mean of markets"


def compute(setting: Setting) -> pl.DataFrame:
    """`market, system, metric, seed, value, change`.

    `change` is the difference to the first system in percent of it, for the same market and seed;
    null where the first system scores 0. The last market is the mean of all.
    """
    records, _ = setting.comparison().run()
    table = market_means(records, METRICS, macro=MACRO).unpivot(
        METRICS, index=["market", "system", "seed"], variable_name="metric"
    )
    whole = table.filter(pl.col("system") == setting.systems[0].title).drop("system")
    joined = table.join(whole, on=["market", "metric", "seed"], suffix="_whole")
    ratio = pl.col("value") / pl.col("value_whole")
    change = pl.when(pl.col("value_whole") != 0).then(100 * (ratio - 1))
    changed = joined.with_columns(change.alias("change")).drop("value_whole")
    columns, markets = ("market", "system", "metric", "seed"), [*setting.markets, MACRO]
    return in_order(changed, setting, *columns, market=markets, metric=METRICS)


def draw(table: pl.DataFrame) -> Figure:
    """One panel a market, one bar a system for each metric."""
    whole = table["system"][0]
    return grouped_bars(
        table,
        panel="market",
        group="metric",
        series="system",
        value="value",
        heading=f"What each part of {whole} is worth",
        group_label="",
        value_label="mean over users",
    )


def _analysis(
    name: str, source: str, titles: tuple[str, ...], protocol: str = "ratio-full"
) -> Analysis:
    return Analysis(
        name=name,
        summary=f"{titles[0]} with and without each of its parts, the change in percent.",
        source=source,
        compute=compute,
        draw=draw,
        systems=titles,
        protocol=protocol,
    )


ANALYSES = (
    _analysis(
        "ablation-dcmpt",
        "DCMPT, Table 2",
        (
            "DCMPT",
            "DCMPT without pre-training",
            "DCMPT without prompt",
            "DCMPT without distillation",
            "DCMPT without WRD",
            "DCMPT without AMRDD",
        ),
    ),
    _analysis(
        "ablation-acmr",
        "ACMR, Fig. 3",
        (
            "ACMR",
            "ACMR without market vectors",
            "ACMR on the target alone",
            "ACMR without fine-tuning",
        ),
        "acmr-market",
    ),
    _analysis(
        "ablation-m3rec",
        "M3Rec, Table 3",
        (
            "M3Rec",
            "M3Rec without intra-market similarity",
            "M3Rec without inter-market similarity",
            "M3Rec without both",
        ),
        "loo-999",
    ),
)
