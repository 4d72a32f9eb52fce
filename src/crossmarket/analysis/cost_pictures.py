"""Pictures of what systems cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.panels import add_legend
from crossmarket.analysis.pictures import COLOURS, FAINT, INK, MARKERS, new_figure, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Column, title and format of each panel; without a format three digits are shown.
_PANELS = (
    ("trainable", "updated parameters", "{:,.0f}"),
    ("seconds_per_epoch", "seconds an epoch", ""),
    ("seconds", "seconds in all", ""),
    ("peak_gb", "peak memory, GB", "{:.2f}"),
    ("ndcg@10", "NDCG@10", "{:.4f}"),
)
_LOGARITHMIC = ("trainable", "seconds_per_epoch", "seconds")


def _means(table: pl.DataFrame) -> pl.DataFrame:
    """One row a system: means over seeds."""
    values = pl.col(pl.Float64, pl.Int64).exclude("seed").cast(pl.Float64).mean()
    return table.group_by("system", maintain_order=True).agg(values)


def draw_costs(table: pl.DataFrame) -> Figure:
    """A panel a cost with its values; points on logarithmic axes, bars on those that start at 0."""
    means = _means(table)
    titles, places = means["system"].to_list(), range(means.height)
    figure, axes = new_figure(14.0, 0.36 * len(titles) + 1.9, 1, len(_PANELS), sharey=True)
    for (column, heading, text), one in zip(_PANELS, axes, strict=True):
        values = means[column].fill_null(0.0).to_list()
        log = column in _LOGARITHMIC
        _scale(one, values, log=log)
        if not log:
            one.barh(places, values, color=COLOURS[0], height=0.62)
        elif column == "seconds":
            own = means["market_seconds"].to_list()
            one.hlines(places, own, values, color=FAINT, linewidth=1.2)
            _points(one, values, COLOURS[4])
            _points(one, own, COLOURS[0])
        else:
            _points(one, values, COLOURS[0])
        for place, (value, known) in enumerate(zip(values, means[column], strict=True)):
            _label(one, place, value, "unknown" if known is None else _text(value, text), log)
        one.set_title(heading, loc="left", fontsize=10, weight="bold")
        one.tick_params(axis="x", labelsize=8)
    axes[0].set_yticks(places, titles)
    axes[0].set_ylim(len(titles) - 0.4, -0.6)
    heading = f"What a system costs in market {table['market'][0]}, and what it gives"
    points = [axes[2].collections[1], axes[2].collections[2]]
    names = ["with stages that other markets share", "this market's own stages alone"]
    add_legend(figure, heading, points, names)
    return figure


def _text(value: float, form: str) -> str:
    return (form or ("{:,.0f}" if value >= 100 else "{:.3g}")).format(value)


def _points(one: Axes, values: list[float], colour: str) -> None:
    shown = [(value, place) for place, value in enumerate(values) if value > 0]
    x, y = [value for value, _ in shown], [place for _, place in shown]
    one.scatter(x, y, s=44, color=colour, zorder=3)


def _scale(one: Axes, values: list[float], *, log: bool) -> None:
    """Room for the labels; a logarithmic scale where there is something above 0."""
    positive = [value for value in values if value > 0]
    if not positive:
        one.set_xlim(0, 1)
    elif log:
        least, most = min(positive) / 3, max(positive)
        one.set_xscale("log")
        one.set_xlim(least, most * (most / least) ** 0.55)
    else:
        one.set_xlim(0, max(positive) * 1.5)


def _label(one: Axes, place: int, value: float, text: str, log: bool) -> None:
    at = value if value > 0 else one.get_xlim()[0]
    one.annotate(
        text,
        (at, place),
        xytext=(8 if log and value > 0 else 3, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK if value > 0 else FAINT,
    )


def draw_updated(table: pl.DataFrame) -> Figure:
    """Quality against updated parameters on a logarithmic axis; what updates none stands apart."""
    means = _means(table)
    figure, (one,) = new_figure(9.2, 5.0)
    updated = means.filter(pl.col("trainable") > 0)["trainable"]
    least = float(updated.min() or 1.0) if len(updated) else 1.0  # type: ignore[arg-type]
    zero = 10.0 ** (len(str(int(least))) - 2)
    one.set_xscale("log")
    for index, row in enumerate(means.iter_rows(named=True)):
        one.plot(
            row["trainable"] or zero,
            row["ndcg@10"],
            color=COLOURS[index % len(COLOURS)],
            marker=MARKERS[(index + index // len(COLOURS)) % len(MARKERS)],
            markersize=11,
            markeredgecolor="white",
            markeredgewidth=0.4,
            linestyle="",
            label=row["system"],
        )
    if means["trainable"].min() == 0:
        one.axvline(zero * 10**0.5, color=FAINT, linestyle=":", linewidth=1.2)
        one.annotate(
            "none",
            (zero, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            color=FAINT,
            fontsize=9,
        )
        ticks = [tick for tick in (10.0**power for power in range(12)) if tick > zero * 3]
        one.set_xticks(ticks)
        one.set_xticks([], minor=True)
    one.set_xlim(zero / 2.5, max(float(means["trainable"].max() or 1.0), least) * 3)  # type: ignore[arg-type]
    one.set_ylim(0, 1.1 * (float(means["ndcg@10"].max() or 0.0) or 1.0))  # type: ignore[arg-type]
    one.set_xlabel(f"parameters updated for market {table['market'][0]}, logarithmic")
    one.set_ylabel("NDCG@10")
    title(one, "What updating more parameters buys")
    figure.legend(loc="outside right center")
    return figure
