"""Heat maps of market-by-market matrices."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from crossmarket.errors import UsageError
from crossmarket.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _FAINT, _PAPER = "#22313f", "#7b8794", "#eef1f4"
_CELL_INCHES = 0.78
_LEAST_INCHES = 5.2  # as wide as a subtitle
_FORMATS = (".svg", ".png")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One square heat map.

    Attributes
    ----------
    title, subtitle : str
        Above the map: what it shows, and how to read its cells.
    values : float64 [n, n]
        Colour of the cells off the diagonal, at least 0.
    cells : sequence of sequences of str, [n][n]
        Text in the cells.
    """

    title: str
    subtitle: str
    values: NDArray[np.float64]
    cells: Sequence[Sequence[str]]


def draw_heat_maps(maps: Sequence[HeatMap], labels: Sequence[str], path: Path) -> None:
    """Draw heat maps side by side; the same input gives the same bytes.

    Parameters
    ----------
    maps : sequence of HeatMap
        The maps, left to right.
    labels : sequence of str
        Names of the rows and columns, the same for all maps.
    path : Path
        File to write; its suffix, `.svg` or `.png`, chooses the format.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"cannot draw {path.name!r}; end the name in {' or '.join(_FORMATS)}")
    import matplotlib as mpl  # noqa: PLC0415 - slow to import and seldom needed
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    side = max(_CELL_INCHES * len(labels), _LEAST_INCHES)
    with mpl.rc_context({"svg.hashsalt": "crossmarket", "font.family": "DejaVu Sans"}):
        layout = ConstrainedLayoutEngine(wspace=0.05, w_pad=0.15, h_pad=0.15)
        size = (len(maps) * (side + 0.6), side + 1.2)
        figure = Figure(figsize=size, layout=layout)
        for position, heat_map in enumerate(maps, start=1):
            axes = figure.add_subplot(1, len(maps), position)
            _draw_one(axes, heat_map, labels)
        buffer = io.BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(buffer, format=suffix[1:], dpi=160, metadata=metadata)
    write_bytes(path, buffer.getvalue())


def _draw_one(axes: Axes, heat_map: HeatMap, labels: Sequence[str]) -> None:
    size = len(labels)
    # The diagonal compares a market with itself: it is left out of the colour scale.
    values = np.where(np.eye(size, dtype=bool), np.nan, heat_map.values)
    top = float(np.nanmax(values)) if size > 1 else 1.0
    axes.imshow(values, cmap="Blues", vmin=0.0, vmax=top or 1.0)
    axes.set_facecolor(_PAPER)
    for row in range(size):
        for column in range(size):
            dark = row != column and values[row, column] > 0.6 * (top or 1.0)
            axes.text(
                column,
                row,
                heat_map.cells[row][column],
                ha="center",
                va="center",
                fontsize=10,
                linespacing=1.35,
                color=_FAINT if row == column else "white" if dark else _INK,
            )
    for set_ticks in (axes.set_xticks, axes.set_yticks):
        set_ticks(range(size), labels, fontsize=11.5, color=_INK)
        set_ticks(np.arange(size + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(heat_map.title, loc="left", fontsize=15, color=_INK, weight="bold", pad=28)
    axes.annotate(
        heat_map.subtitle,
        xy=(0, 1),
        xytext=(0, 11),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=10,
        color=_FAINT,
        in_layout=False,
    )
