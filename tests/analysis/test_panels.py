"""Bars and lines show what the table says, with limits that make sense."""

import itertools

import polars as pl
import pytest

from crossmarket.analysis.panels import grouped_bars, lines
from crossmarket.analysis.pictures import COLOURS, colour_of

NAMES = {
    "panel": "market",
    "series": "system",
    "value": "recall",
    "heading": "Heading",
    "value_label": "Recall",
}


def bars_of(table, **options):
    figure = grouped_bars(table, group="group", group_label="group", **NAMES, **options)
    return figure, [axes for axes in figure.axes if axes.get_visible()]


@pytest.fixture
def table():
    """Two markets, two systems, two seeds; market uk lacks a group."""
    rows = [
        (market, system, group, seed, 0.1 * (1 + seed) + 0.3 * (system == "B"))
        for market, system, group, seed in itertools.product(("de", "uk"), "AB", "xy", (0, 1))
        if (market, group) != ("uk", "y")
    ]
    columns = ["market", "system", "group", "seed", "recall"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_a_bar_is_the_mean_over_seeds(table):
    _, axes = bars_of(table)
    assert [one.get_title(loc="left") for one in axes] == ["de", "uk"]
    heights = [round(bar.get_height(), 12) for bar in axes[0].patches]
    assert heights == [0.15, 0.15, 0.45, 0.45]
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["x", "y"]
    assert axes[0].get_ylabel() == "Recall, mean ± std"
    _, single = bars_of(table.filter(seed=0))
    assert single[0].get_ylabel() == "Recall"


def test_all_panels_have_the_same_places_unless_told_otherwise(table):
    _, axes = bars_of(table)
    assert axes[0].get_xlim() == axes[1].get_xlim()
    assert [text.get_text() for text in axes[1].texts] == ["none"]
    _, own = bars_of(table, same_groups=False)
    assert [text.get_text() for text in own[1].get_xticklabels()] == ["x"]
    assert not own[1].texts


def test_the_spread_stays_within_what_is_possible(table):
    wild = table.with_columns(recall=pl.when(pl.col("seed") == 0).then(0.0).otherwise(1.0))
    _, axes = bars_of(wild, most=1.0)
    spreads = [
        height
        for line in axes[0].collections
        for path in line.get_paths()
        for _, height in path.vertices
    ]
    assert (min(spreads), max(spreads)) == (0.0, 1.0)
    assert axes[0].get_ylim()[0] == 0.0
    _, below = bars_of(table.with_columns(recall=pl.col("recall") - 0.5))
    assert below[0].get_ylim()[0] < -0.3


def test_heading_legend_and_label_do_not_touch(table):
    figure, axes = bars_of(table)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "Heading"
    assert [text.get_text() for text in legend.get_texts()] == ["A", "B"]
    boxes = [legend.get_window_extent(), figure._supxlabel.get_window_extent()]
    boxes += [axes[0].get_tightbbox()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)


def test_lines_run_over_sorted_x_with_a_band_over_seeds(table):
    points = table.with_columns(x=pl.col("group").replace_strict({"x": 2, "y": 1}))
    points = points.with_columns(text=pl.format("at {}", "x"))
    figure = lines(points, x="x", x_label="x", ticks="text", **NAMES)
    first = figure.axes[0]
    assert [line.get_xdata().tolist() for line in first.lines] == [[1, 2], [1, 2]]
    assert [text.get_text() for text in first.get_xticklabels()] == ["at 1", "at 2"]
    assert len(first.collections) == 2
    single = lines(points.filter(seed=0), x="x", x_label="x", ticks="text", **NAMES)
    assert not single.axes[0].collections


def test_colours_start_again_after_the_last():
    names = [str(number) for number in range(len(COLOURS) + 1)]
    colours = colour_of(names)
    assert len(set(colours.values())) == len(COLOURS)
    assert colours[names[0]] == colours[names[-1]]


@pytest.mark.parametrize("taller", ["de", "uk"])
def test_a_shared_scale_holds_the_tallest_of_all_panels(table, taller):
    scaled = pl.col("recall") * pl.when(pl.col("market") == taller).then(2.0).otherwise(1.0)
    wide = table.with_columns(recall=scaled)
    _, bars = bars_of(wide, share_y=True)
    points = wide.with_columns(at=pl.col("group").replace_strict({"x": 1, "y": 2}))
    figure = lines(points, x="at", x_label="at", ticks="group", share_y=True, **NAMES)
    for axes in (bars, [one for one in figure.axes if one.get_visible()]):
        assert axes[0].get_ylim() == axes[1].get_ylim()
        assert axes[0].get_ylim()[1] > 2 * 0.45
    assert bars[0].get_ylim()[0] == 0.0
