"""What the pictures of a report show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crossmarket.analysis.pictures import COLOURS, FAINT, INK, new_figure
from crossmarket.reporting.quality import Standing, known
from crossmarket.reporting.svg import CONTROL, RUN
from crossmarket.reporting.trainings import Training
from crossmarket.training.loop import SELECTION_METRIC

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of a picture that stands beside others, and the width of one on a line of its own.
SMALL, WIDE = (4.4, 3.2), 5.2


def draw_training(training: Training) -> Figure:
    """Loss and validation quality by epoch, the epoch that was kept marked in both."""
    epochs, loss = training.series("loss")
    looked, quality = training.series(SELECTION_METRIC)
    shown: list[tuple[str, Sequence[int], Sequence[float], str]] = [
        (name, x, y, colour)
        for name, x, y, colour in (
            ("loss", epochs, loss, COLOURS[1]),
            ("validation NDCG@10", looked, quality, RUN),
        )
        if y
    ]
    dots = len(training.history) <= 40
    figure, axes = new_figure(SMALL[0], 1.0 + 1.5 * len(shown), len(shown), 1, sharex=True)
    for one, (name, x, y, colour) in zip(axes, shown, strict=True):
        one.plot(x, y, color=colour, marker="o", markersize=3.5 if dots else 0)
        one.axvline(training.best_epoch, color=FAINT, linestyle="--", linewidth=1.2)
        one.set_ylabel(name, fontsize=9)
        _whole_numbers(one)
    axes[0].annotate(
        f"kept: epoch {training.best_epoch}",
        (training.best_epoch, 1.02),
        xycoords=("data", "axes fraction"),
        ha=_side(training.best_epoch, max(len(training.history) - 1, 1)),
        fontsize=8.5,
        color=INK,
    )
    axes[-1].set_xlabel("epoch")
    return figure


def _side(value: float, most: float) -> str:
    """Alignment that keeps a text inside the picture."""
    return "left" if value < most / 3 else "right" if value > most * 2 / 3 else "center"


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))


def draw_quality(rows: Sequence[Standing], metric: str, title: str) -> Figure:
    """Mean and interval of the run, and popularity's mean, a line for each market."""
    figure, (axes,) = new_figure(WIDE, 1.2 + 0.36 * len(rows))
    places = list(range(len(rows)))[::-1]
    for place, row in zip(places, rows, strict=True):
        if known(row.low):
            axes.plot([row.low, row.high], [place, place], color=RUN, linewidth=2.2, alpha=0.6)
    run = axes.plot([row.mean for row in rows], places, "o", color=RUN, markersize=7)[0]
    control = axes.plot(
        [row.control for row in rows], places, "D", color=CONTROL, markersize=6, fillstyle="none",
        markeredgewidth=1.6,
    )[0]  # fmt: skip
    means = sum(row.scope != "market" for row in rows)
    if 0 < means < len(rows):
        axes.axhline(means - 0.5, color=FAINT, linewidth=1)
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.set_xlim(left=0)
    axes.set_xlabel(metric)
    _legend(figure, [run, control], [f"{title}, 95 % interval over users", "popularity"])
    return figure


def draw_against(
    rows: Sequence[Standing], x: Mapping[str, float], x_label: str, metric: str, *, log: bool
) -> Figure:
    """Quality of each market against a property of the market, and popularity's beside it."""
    figure, (axes,) = new_figure(SMALL[0], SMALL[1] + 0.3)
    at = [x[row.name] for row in rows]
    for place, row in zip(at, rows, strict=True):
        axes.plot([place, place], [row.mean, row.control], color=FAINT, linewidth=1, alpha=0.7)
    axes.plot(at, [row.control for row in rows], "D", color=CONTROL, fillstyle="none",
              markersize=5.5, markeredgewidth=1.5)  # fmt: skip
    axes.plot(at, [row.mean for row in rows], "o", color=RUN, markersize=7)
    if log:
        axes.set_xscale("log")
        _plain_powers(axes)
    axes.margins(x=0.14)
    axes.set_ylim(bottom=0, top=1.2 * max(max(row.mean, row.control) for row in rows) or 1.0)
    name_points(axes, [(place, row.mean, row.name) for place, row in zip(at, rows, strict=True)])
    axes.set_xlabel(x_label)
    axes.set_ylabel(metric)
    return figure


def _plain_powers(axes: Axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter  # noqa: PLC0415

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def name_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write names above points, or below where a point above would be hit."""
    placed = [axes.transData.transform((x, y)) for x, y, _ in points]
    for place, (x, y, name) in enumerate(points):
        crowded = any(
            other != place
            and abs(placed[other][0] - placed[place][0]) < 26
            and 0 <= placed[other][1] - placed[place][1] < 26
            for other in range(len(points))
        )
        axes.annotate(
            name,
            (x, y),
            xytext=(0, -7 if crowded else 7),
            textcoords="offset points",
            ha="center",
            va="top" if crowded else "bottom",
            fontsize=9,
            color=INK,
        )


def draw_user_groups(table: pl.DataFrame, most: float, label: str) -> Figure:
    """Recall of the groups of one market's users, from cold to warm."""
    figure, (axes,) = new_figure(SMALL[0], SMALL[1])
    groups = list(range(table.height))
    run = axes.plot(groups, table["run"].to_list(), color=RUN, marker="o")[0]
    control = axes.plot(
        groups, table["popularity"].to_list(), color=CONTROL, marker="D", fillstyle="none",
        linestyle="--",
    )[0]  # fmt: skip
    axes.set_xticks(groups, [f"{size:.1f}" for size in table["size"]])
    axes.set_xlabel("mean training interactions of the group")
    _finish(figure, axes, most, [run, control], [label, "popularity"])
    return figure


def draw_item_groups(table: pl.DataFrame, most: float, label: str) -> Figure:
    """Recall of the groups of one market's items, from rare to frequent."""
    figure, (axes,) = new_figure(SMALL[0], SMALL[1])
    places = np.arange(table.height)
    run = axes.bar(places - 0.2, table["run"].to_list(), 0.38, color=RUN)
    control = axes.bar(places + 0.2, table["popularity"].to_list(), 0.38, facecolor="none",
                       edgecolor=CONTROL, linewidth=1.4, hatch="///")  # fmt: skip
    ticks = [f"{group}\n({count:,})" for group, count in table.select("group", "count").iter_rows()]
    axes.set_xticks(places, ticks)
    axes.set_xlim(-0.6, table.height - 0.4)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("times sold in training (held-out interactions)")
    _finish(figure, axes, most, [run, control], [label, "popularity"])
    return figure


def _finish(
    figure: Figure, axes: Axes, most: float, handles: Sequence[Any], names: Sequence[str]
) -> None:
    axes.set_ylim(0, 1.08 * most or 1.0)
    axes.set_ylabel("Recall@10")
    _legend(figure, handles, names)


def _legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    figure.legend(
        list(handles), list(names), loc="outside upper left", ncols=2, fontsize=9,
        borderaxespad=0.2, columnspacing=1.4,
    )  # fmt: skip
