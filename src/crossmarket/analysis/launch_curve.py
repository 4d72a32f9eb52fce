"""From the first sales on: quality against how much a market has sold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.dots import dots
from crossmarket.analysis.means import market_means
from crossmarket.analysis.panels import lines
from crossmarket.analysis.pictures import COLOURS, in_turn
from crossmarket.analysis.progress import tracked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRACTIONS = (0.05, 0.1, 0.2, 0.5, 1.0)
#: In place of a market: the mean over the markets, each with the same weight.
MACRO = "macro mean"


def compute(setting: Setting) -> pl.DataFrame:
    """NDCG@10 under `launch@f`: `market, system, fraction, seed, ndcg`.

    Of each target's training interactions the fraction f is kept; the other markets are whole.
    The first rows, of market `macro mean`, are means over the markets.

    Raises
    ------
    UsageError
        If the setting's protocol is not the one that `launch@f` thins.
    """
    setting.require_protocol("ratio-full")
    frames = []
    for fraction in tracked(setting, [(f"launch@{value:g}", value) for value in FRACTIONS]):
        protocol = setting.protocol.model_copy(update={"name": f"launch@{fraction:g}"})
        records, _ = setting.comparison(protocol=protocol).run()
        means = market_means(records, ["ndcg@10"], macro=MACRO).rename({"ndcg@10": "ndcg"})
        frames.append(means.with_columns(pl.lit(fraction).alias("fraction")))
    columns = ("market", "system", "fraction", "seed")
    return in_order(pl.concat(frames), setting, *columns, market=[MACRO, *setting.markets])


def draw(table: pl.DataFrame) -> Figure:
    """A panel for the mean and one for each market, a line for each system.

    With more systems than colours: the mean alone, a row for each system.
    """
    percent = (100 * pl.col("fraction")).round(0).cast(pl.Int64)
    table = table.with_columns(percent=percent, text=pl.format("{}", percent))
    heading = "How fast a new market is served well"
    if table["system"].n_unique() > len(COLOURS):
        markets = [market for market in in_turn(table, "market") if market != MACRO]
        where = markets[0] if len(markets) == 1 else f"mean of {len(markets)} markets"
        return dots(
            table.filter(pl.col("market") == MACRO).sort("percent", maintain_order=True),
            row="system",
            step="text",
            value="ndcg",
            heading=f"{heading}: {where}",
            row_label="system, the best at the start first",
            value_label="NDCG@10",
            unit=" % of its training interactions",
        )
    return lines(
        table,
        panel="market",
        x="fraction",
        series="system",
        value="ndcg",
        heading=heading,
        x_label="training interactions of the target that are kept [%], logarithmic",
        value_label="NDCG@10",
        ticks="text",
        log=True,
    )


ANALYSIS = Analysis(
    name="launch-curve",
    summary="NDCG@10 against the fraction of the target's training interactions that is kept.",
    source="ours",
    compute=compute,
    draw=draw,
    systems=(
        "Popularity",
        "EASE^R single",
        "EASE^R merged",
        "LightGCN single",
        "LightGCN merged",
        "DCMPT",
    ),
)
