"""How large markets are, how often their items sell and how they are rated (FOREC, Fig. 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.boxes import box_of, draw_boxes
from crossmarket.analysis.pictures import COLOURS, INK, new_figure, title
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.describe import describe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZES = ("users", "items", "interactions")
#: Columns of the distribution of purchases start with this, those of ratings with the other.
PURCHASES, RATING = "purchases_", "rating_"
#: Weights with more values than this are no stars.
MOST_RATINGS = 10


def compute(setting: Setting) -> pl.DataFrame:
    """One row a market.

    `market, users, items, interactions, density`; `purchases_low` to `purchases_high`: whiskers,
    quartiles and median of the interactions of the market's items, as `box_of`; and, where the
    weights are ratings, `rating_R`: the share of the market's interactions rated R. All
    interactions count, whatever the protocol.
    """
    data = setting.data.dataset
    statistics = describe(data).statistics
    ratings = _ratings(data)
    rows = []
    for market in setting.markets:
        own, edges = statistics[market], data.edges(market)
        times = np.bincount(edges.items, minlength=len(data.items))[data.catalogue(market)]
        row: dict[str, Any] = {"market": market, **{name: getattr(own, name) for name in SIZES}}
        row["density"] = own.density
        row |= {PURCHASES + name: value for name, value in box_of(times).items()}
        row |= {f"{RATING}{rate:g}": float((edges.weights == rate).mean()) for rate in ratings}
        rows.append(row)
    return pl.DataFrame(rows)


def _ratings(data: MarketDataset) -> NDArray[np.float32]:
    """Values that the weights take; none where they are all 1 or too many to be ratings."""
    values = np.unique(np.concatenate([data.edges(market).weights for market in data.markets]))
    return values if 1 < len(values) <= MOST_RATINGS else values[:0]


def draw(table: pl.DataFrame) -> Figure:
    """Sizes, density, purchases of an item and, where there are some, ratings."""
    ratings = [name for name in table.columns if name.startswith(RATING)]
    side = max(1.0 + 0.62 * table.height, 4.6)
    figure, axes = new_figure(2 * side, 7.6, 2, 2)
    _draw_sizes(axes[0], table)
    axes[1].bar(range(table.height), 100 * table["density"].to_numpy(), 0.7, color=COLOURS[0])
    axes[1].set_ylabel("density [%]")
    title(axes[1], "Density", "interactions per cell of the users × items matrix")
    _draw_purchases(axes[2], table)
    if ratings:
        _draw_ratings(axes[3], table, ratings)
    else:
        axes[3].set_visible(False)
    for one in axes:
        one.set_xticks(range(table.height), table["market"].to_list())
        one.grid(visible=False, axis="x")
        one.set_xlim(-0.6, table.height - 0.4)
        one.set_xlabel("market")
    return figure


def _draw_sizes(axes: Axes, table: pl.DataFrame) -> None:
    for index, name in enumerate(SIZES):
        places = [row + 0.28 * (index - 1) for row in range(table.height)]
        axes.bar(places, table[name].to_list(), 0.26, color=COLOURS[index], label=name)
    _logarithmic(axes, (1,))
    axes.set_ylabel("number (logarithmic)")
    sizes = table.select(SIZES).to_numpy()
    axes.set_ylim(10 ** np.floor(np.log10(sizes.min()) - 0.1), 8 * sizes.max())
    axes.legend(loc="upper left", ncols=3, fontsize=9, columnspacing=1.2)
    title(axes, "Size of the markets", "users, items and their distinct interactions")


def _draw_purchases(axes: Axes, table: pl.DataFrame) -> None:
    names = [name for name in table.columns if name.startswith(PURCHASES)]
    boxes = [
        {name.removeprefix(PURCHASES): value for name, value in row.items()}
        for row in table.select(names).iter_rows(named=True)
    ]
    draw_boxes(axes, boxes, list(range(table.height)), width=0.55, colour=COLOURS[0])
    _logarithmic(axes, (1, 2, 5))
    axes.set_ylabel("interactions of an item (logarithmic)")
    title(
        axes,
        "How often an item sells",
        "median and quartiles; whiskers of at most 1.5 quartile ranges",
    )


def _logarithmic(axes: Axes, steps: tuple[int, ...]) -> None:
    """Give the y axis a logarithmic scale with plain numbers at these steps of each power of 10."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator  # noqa: PLC0415

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=steps))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_minor_locator(NullLocator())


def _draw_ratings(axes: Axes, table: pl.DataFrame, names: list[str]) -> None:
    from matplotlib import colormaps  # noqa: PLC0415 - slow to import

    shades = colormaps["cividis"](np.linspace(0.05, 0.95, len(names)))
    bottom = np.zeros(table.height)
    for name, shade in zip(names, shades, strict=True):
        share = 100 * table[name].to_numpy()
        label = name.removeprefix(RATING)
        axes.bar(range(table.height), share, 0.7, bottom, color=shade, label=label)
        bottom += share
    axes.set_ylabel("share of the interactions [%]")
    axes.set_ylim(0, 100)
    handles, labels = axes.get_legend_handles_labels()
    legend = axes.legend(
        handles[::-1], labels[::-1], title="rating", loc="center left", bbox_to_anchor=(1.0, 0.5)
    )
    legend.get_title().set_color(INK)
    title(axes, "Ratings", "share of each rating among the market's interactions")


ANALYSIS = Analysis(
    name="market-statistics",
    summary="Users, items, density, purchases per item and ratings of each market.",
    source="FOREC, Fig. 1",
    compute=compute,
    draw=draw,
)
