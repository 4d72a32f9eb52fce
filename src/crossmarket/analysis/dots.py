"""A row for each of many names, with a dot for each step: what lines cannot show any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from crossmarket.analysis.panels import add_legend
from crossmarket.analysis.pictures import FAINT, in_turn, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW_INCHES = 0.24
#: Part of the colour map that is told from the paper and from black.
_PALE, _DARK = 0.25, 1.0


def dots(
    table: pl.DataFrame,
    *,
    row: str,
    step: str,
    value: str,
    heading: str,
    row_label: str,
    value_label: str,
    unit: str = "",
) -> Figure:
    """A dot for each row and step, the mean over what is left of the table; later steps are darker.

    Parameters
    ----------
    table : polars.DataFrame
        Long form; the order of first appearance is that of the steps.
    row, step, value : str
        Columns: one line of the picture, one shade, the place along the line.
    heading, row_label, value_label : str
        Title of the figure and of its axes.
    unit : str
        What follows a step's name in the legend.

    Notes
    -----
    Rows are in the order of their values at the first step, the highest at the top.
    """
    from matplotlib import colormaps  # noqa: PLC0415 - slow to import and seldom needed

    steps = in_turn(table, step)
    means = table.group_by(row, step, maintain_order=True).agg(pl.col(value).mean())
    first = means.filter(pl.col(step) == steps[0]).sort(value, row, descending=[True, False])
    rows = {name: place for place, name in enumerate(first[row])}
    shades = colormaps["Blues"](np.linspace(_PALE, _DARK, len(steps)))
    figure, (axes,) = new_figure(9.0, _ROW_INCHES * len(rows) + 1.8)
    ends = means.group_by(row).agg(low=pl.col(value).min(), high=pl.col(value).max())
    axes.hlines(
        [rows[name] for name in ends[row]], ends["low"], ends["high"], color=FAINT, linewidth=1.0
    )
    handles: list[Any] = []
    for shade, at in zip(shades, steps, strict=True):
        own = means.filter(pl.col(step) == at)
        places = [rows[name] for name in own[row]]
        handles.append(axes.scatter(own[value], places, s=34, color=shade, zorder=3))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(left=0.0)
    axes.set_xlabel(value_label)
    axes.set_ylabel(row_label)
    add_legend(figure, heading, handles, [f"{at}{unit}" for at in steps])
    return figure
