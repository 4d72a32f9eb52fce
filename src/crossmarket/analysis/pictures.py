"""The look of the pictures, and their bytes: the same table gives the same file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from crossmarket.data.heatmap import FAINT, INK, PAPER, save, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "FAINT",
    "INK",
    "MARKERS",
    "PAPER",
    "colour_of",
    "house_style",
    "in_turn",
    "new_figure",
    "save",
    "title",
]

#: Distinct for people with colour-blindness (Okabe and Ito), darkest first.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#7f6000",
    "#4d4d4d",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")


@contextmanager
def house_style() -> Iterator[None]:
    """Fonts, colours and a fixed salt for the ids of SVG elements."""
    import matplotlib as mpl  # noqa: PLC0415 - slow to import and seldom needed

    settings: Any = {
        "svg.hashsalt": "crossmarket",
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": PAPER,
        "grid.linewidth": 1.2,
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(
    width: float, height: float, rows: int = 1, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure and its axes, row by row; sizes in inches, `options` as `Figure.subplots` takes."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(grid.flat)


def colour_of(names: Sequence[str]) -> dict[str, str]:
    """One colour for each name, repeated after eight."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def in_turn(table: pl.DataFrame, column: str) -> list[Any]:
    """What a column of a table holds, once each, in the order of first appearance."""
    return table[column].unique(maintain_order=True).to_list()
