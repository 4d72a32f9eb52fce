"""Lines over the values of a setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.panels import add_legend, panels
from crossmarket.analysis.pictures import FAINT, INK, MARKERS, colour_of, in_turn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(table: pl.DataFrame, heading: str) -> Figure:
    """One panel a system and setting, one line a market, the mean of all markets thick."""
    places = table.select("system", "setting").unique(maintain_order=True).rows()
    one_system = table["system"].n_unique() == 1
    seeds = table["seed"].n_unique()
    part = " and ".join(table["part"].unique(maintain_order=True))
    figure, axes = panels(
        [name if one_system else f"{system}: {name}" for system, name in places],
        heading=heading,
        x_label="value of the setting; dotted: the value in use",
        value_label=f"ndcg@10, {part} part" + (f", mean of {seeds} seeds" if seeds > 1 else ""),
        share_y=True,
    )
    markets = in_turn(table, "market")
    for (system, name), one in zip(places, axes, strict=True):
        own = table.filter(pl.col("system") == system, pl.col("setting") == name)
        _draw_panel(one, own, markets)
    add_legend(figure, heading, *axes[0].get_legend_handles_labels())
    return figure


def _draw_panel(one: Axes, table: pl.DataFrame, markets: Sequence[str]) -> None:
    """Lines over the values, evenly spaced; the mean of markets where there are several."""
    values = in_turn(table, "value")
    places = list(range(len(values)))
    means = table.group_by("value", "market").agg(pl.col("ndcg@10").mean())
    found = {(value, market): mean for value, market, mean in means.iter_rows()}
    colours = colour_of(markets)
    for index, market in enumerate(markets):
        one.plot(
            places,
            [found[value, market] for value in values],
            color=colours[market],
            marker=MARKERS[index % len(MARKERS)],
            markersize=4.5,
            linewidth=1.2,
            label=market,
        )
    if len(markets) > 1:
        macro = [sum(found[value, name] for name in markets) / len(markets) for value in values]
        one.plot(places, macro, color=INK, linewidth=3.2, label="mean of markets", zorder=4)
    for value in table.filter(pl.col("own"))["value"].unique():
        one.axvline(values.index(value), color=FAINT, linestyle=":", linewidth=1.2, zorder=1)
    one.set_xticks(places, [f"{value:g}" for value in values])
    one.margins(x=0.06)
