"""Pictures with one axes for each market, or for whatever a table's panels are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from crossmarket.analysis.pictures import FAINT, INK, MARKERS, colour_of, in_turn, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 3.2, 2.6  # inches of an axes
_BAR_INCHES = 0.13


def panels(
    places: Sequence[Any],
    *,
    heading: str,
    x_label: str,
    value_label: str,
    share_y: bool = False,
    width: float = _WIDTH,
) -> tuple[Figure, list[Axes]]:
    """A figure with one axes for each place, named above it, in up to four columns.

    Parameters
    ----------
    places : sequence
        What the axes show; a single empty name gives one axes without.
    heading : str
        Title of the figure; `add_legend` puts the legend below it.
    x_label, value_label : str
        What the axes measure.
    share_y : bool
        Whether all axes have the same scale.
    width : float
        Inches of an axes.
    """
    rows = -(-len(places) // 4)
    columns = -(-len(places) // rows)
    size = (max(width * columns, 6.4), max(_HEIGHT * rows, 3.4) + 1.0)
    figure, axes = new_figure(*size, rows, columns, sharey=share_y)
    for place, one in zip(places, axes, strict=False):
        one.set_title(str(place), loc="left", weight="bold", fontsize=11)
        one.tick_params(labelleft=True)
    for one in axes[len(places) :]:
        one.set_visible(False)
    for one in axes[::columns]:
        one.set_ylabel(value_label)
    figure.supxlabel(x_label, fontsize=10)
    add_legend(figure, heading, [], [])
    return figure, axes[: len(places)]


def add_legend(figure: Figure, heading: str, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Write the heading of a figure of panels and, below it, what its colours mean."""
    for old in list(figure.legends):
        old.remove()
    # One legend carries both, so that the layout makes room for them and neither hides the other.
    longest = max((len(name) for name in names), default=1)
    figure.legend(
        list(handles),
        list(names),
        loc="outside upper left",
        ncols=max(1, min(len(names), int(figure.get_figwidth() / (0.085 * longest + 0.7)))),
        title=heading,
        title_fontproperties={"weight": "bold", "size": 13},
        alignment="left",
        borderaxespad=0.2,
        columnspacing=1.4,
    )


def _cells(table: pl.DataFrame, keys: Sequence[str], value: str) -> dict[tuple[Any, ...], Any]:
    """Mean and standard deviation (0 for one value) of each combination of the keys."""
    found = table.group_by(*keys).agg(
        pl.col(value).mean().alias("mean"), pl.col(value).std().fill_null(0.0).alias("std")
    )
    return {row[:-2]: row[-2:] for row in found.iter_rows()}


def _with_spread(label: str, cells: dict[tuple[Any, ...], Any]) -> str:
    """The label of the values; it says so where their spread is drawn."""
    return f"{label}, mean ± std" if any(std > 0 for _, std in cells.values()) else label


def grouped_bars(
    table: pl.DataFrame,
    *,
    panel: str,
    group: str,
    series: str,
    value: str,
    heading: str,
    group_label: str,
    value_label: str,
    same_groups: bool = True,
    share_y: bool = False,
    most: float | None = None,
) -> Figure:
    """Bars of `value`, mean over what is left of the table, with its spread as a thin line.

    Parameters
    ----------
    table : polars.DataFrame
        Long form; the order of first appearance is the order of panels, groups and bars.
    panel, group, series, value : str
        Columns: one axes, one place on its x axis, one colour, the height.
    heading, group_label, value_label : str
        Title of the figure and of its axes.
    same_groups : bool
        Whether every panel has a place for every group, or for its own groups only.
    share_y : bool
        Whether all panels have the same scale.
    most : float, optional
        What the value cannot exceed; the spread then ends there.
    """
    names, places = in_turn(table, series), in_turn(table, panel)
    colours = colour_of(names)
    cells = _cells(table, (panel, group, series), value)
    groups_of = {
        place: in_turn(table if same_groups else table.filter(pl.col(panel) == place), group)
        for place in places
    }
    figure, axes = panels(
        places,
        heading=heading,
        x_label=group_label,
        value_label=_with_spread(value_label, cells),
        share_y=share_y,
        width=max(_WIDTH, _BAR_INCHES * len(names) * max(map(len, groups_of.values()))),
    )
    width = 0.84 / len(names)
    handles: dict[str, Any] = {}
    for place, one in zip(places, axes, strict=True):
        groups = groups_of[place]
        for index, name in enumerate(names):
            found = [(at, cells.get((place, key, name))) for at, key in enumerate(groups)]
            shown = [(at, *cell) for at, cell in found if cell is not None]
            offset = (index - (len(names) - 1) / 2) * width
            handles[name] = one.bar(
                [at + offset for at, _, _ in shown],
                [mean for _, mean, _ in shown],
                width * 0.92,
                yerr=[_below(shown), _above(shown, most)],
                error_kw={"linewidth": 0.8, "ecolor": INK},
                color=colours[name],
            )
        for at, key in enumerate(groups):
            if not any((place, key, name) in cells for name in names):
                one.annotate(
                    "none",
                    (at, 0),
                    xytext=(0, 3),
                    xycoords=("data", "axes fraction"),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=FAINT,
                )
        one.set_xticks(range(len(groups)), [str(at) for at in groups])
        one.set_xlim(-0.6, len(groups) - 0.4)
        one.grid(visible=False, axis="x")
    if min((mean for mean, _ in cells.values()), default=0.0) >= 0:
        # Limits end the fitting of a shared scale, so they wait until all is drawn.
        for one in axes:
            one.set_ylim(bottom=0.0)
    add_legend(figure, heading, [handles[name] for name in names], names)
    return figure


def _below(bars: Sequence[tuple[float, float, float]]) -> list[float]:
    """Length of the spread below bars (place, mean, deviation); never across 0."""
    return [min(std, mean) if mean >= 0 else std for _, mean, std in bars]


def _above(bars: Sequence[tuple[float, float, float]], most: float | None) -> list[float]:
    """Length of the spread above bars."""
    return [std if most is None else min(std, max(most - mean, 0.0)) for _, mean, std in bars]


def lines(
    table: pl.DataFrame,
    *,
    panel: str,
    x: str,
    series: str,
    value: str,
    heading: str,
    x_label: str,
    value_label: str,
    ticks: str,
    log: bool = False,
    share_y: bool = False,
) -> Figure:
    """Lines of `value` over `x`, mean over what is left of the table, spread as a pale band.

    Parameters
    ----------
    table : polars.DataFrame
        Long form; the order of first appearance is the order of panels and lines.
    panel, x, series, value : str
        Columns: one axes, place along it, one line, the height.
    heading, x_label, value_label : str
        Title of the figure and of its axes.
    ticks : str
        Column with the text below each `x`.
    log, share_y : bool
        Whether x is logarithmic; whether all panels have the same scale.
    """
    names, places = in_turn(table, series), in_turn(table, panel)
    colours = colour_of(names)
    cells = _cells(table, (panel, x, series), value)
    figure, axes = panels(
        places,
        heading=heading,
        x_label=x_label,
        value_label=_with_spread(value_label, cells),
        share_y=share_y,
    )
    handles: dict[str, Any] = {}
    for place, one in zip(places, axes, strict=True):
        own = table.filter(pl.col(panel) == place)
        for index, name in enumerate(names):
            at = sorted(key for spot, key, other in cells if (spot, other) == (place, name))
            mean, std = zip(*(cells[place, key, name] for key in at), strict=True)
            handles[name] = one.plot(
                at, mean, color=colours[name], marker=MARKERS[index % len(MARKERS)], markersize=4.5
            )[0]
            low = [middle - spread for middle, spread in zip(mean, std, strict=True)]
            high = [middle + spread for middle, spread in zip(mean, std, strict=True)]
            if low != high:
                one.fill_between(at, low, high, color=colours[name], alpha=0.18, linewidth=0)
        if log:
            one.set_xscale("log")
        texts = dict(own.select(x, ticks).iter_rows())
        one.set_xticks(sorted(texts), [str(texts[key]) for key in sorted(texts)])
        one.set_xticks([], minor=True)
    # Limits end the fitting of a shared scale, so they wait until all is drawn.
    for one in axes:
        one.set_ylim(bottom=max(one.get_ylim()[0], 0.0))
    add_legend(figure, heading, [handles[name] for name in names], names)
    return figure
