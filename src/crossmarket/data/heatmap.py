"""Heat maps of market-by-market matrices, and the look that they share with other pictures."""

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
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#22313f", "#7b8794", "#eef1f4"
_CELL_INCHES = 0.78
_LEAST_INCHES = 5.2  # as wide as a subtitle
_FORMATS = (".svg", ".png")


@dataclass(frozen=True, eq=False)
class HeatMap:
    """One heat map; its diagonal, where rows and columns agree, is left out of the scale.

    Attributes
    ----------
    title, subtitle : str
        Above the map: what it shows, and how to read its cells.
    values : float64 [rows, columns]
        Colour of the cells; NaN for none.
    cells : sequence of sequences of str, [rows][columns]
        Text in the cells.
    rows, columns : sequence of str
        Names beside and below the cells.
    row_label, column_label : str
        What the names stand for.
    signed : bool
        Two colours that meet at 0, instead of one that darkens from 0 on.
    """

    title: str
    subtitle: str
    values: NDArray[np.float64]
    cells: Sequence[Sequence[str]]
    rows: Sequence[str]
    columns: Sequence[str]
    row_label: str = ""
    column_label: str = ""
    signed: bool = False


def draw_heat_maps(maps: Sequence[HeatMap], path: Path) -> None:
    """Draw heat maps side by side; the same input gives the same bytes.

    Parameters
    ----------
    maps : sequence of HeatMap
        The maps, left to right.
    path : Path
        File to write; its suffix, `.svg` or `.png`, chooses the format.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    require_format(path)
    import matplotlib as mpl  # noqa: PLC0415 - slow to import and seldom needed

    with mpl.rc_context({"svg.hashsalt": "crossmarket", "font.family": "DejaVu Sans"}):
        save(heat_map_figure(maps), path)


def heat_map_figure(maps: Sequence[HeatMap]) -> Figure:
    """A figure of heat maps, left to right."""
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.layout_engine import ConstrainedLayoutEngine  # noqa: PLC0415

    widths = [max(_CELL_INCHES * len(one.columns), _LEAST_INCHES) + 0.6 for one in maps]
    heights = [_CELL_INCHES * len(one.rows) for one in maps]
    least = _LEAST_INCHES if all(len(one.rows) == len(one.columns) for one in maps) else 0.0
    layout = ConstrainedLayoutEngine(wspace=0.05, w_pad=0.15, h_pad=0.15)
    figure = Figure(figsize=(sum(widths), max(*heights, least) + 1.2), layout=layout)
    for position, heat_map in enumerate(maps, start=1):
        _draw_one(figure.add_subplot(1, len(maps), position), heat_map)
    return figure


def _draw_one(axes: Axes, heat_map: HeatMap) -> None:
    shape = (len(heat_map.rows), len(heat_map.columns))
    same = np.array([[row == column for column in heat_map.columns] for row in heat_map.rows])
    values = np.where(same, np.nan, heat_map.values)
    top = float(np.nanmax(np.abs(values), initial=0.0)) or 1.0
    colours, least = ("RdBu", -top) if heat_map.signed else ("Blues", 0.0)
    axes.imshow(values, cmap=colours, vmin=least, vmax=top)
    axes.set_facecolor(PAPER)
    for row, column in np.ndindex(*shape):
        dark = abs(values[row, column]) > 0.6 * top
        axes.text(
            column,
            row,
            heat_map.cells[row][column],
            ha="center",
            va="center",
            fontsize=10,
            linespacing=1.35,
            color=FAINT if same[row, column] else "white" if dark else INK,
        )
    for set_ticks, names in (
        (axes.set_xticks, heat_map.columns),
        (axes.set_yticks, heat_map.rows),
    ):
        set_ticks(range(len(names)), names, fontsize=11.5, color=INK)
        set_ticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", color="white", linewidth=2.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(heat_map.column_label, fontsize=11, color=INK)
    axes.set_ylabel(heat_map.row_label, fontsize=11, color=INK)
    title(axes, heat_map.title, heat_map.subtitle)


def title(axes: Axes, text: str, subtitle: str = "") -> None:
    """Write what the axes show, and below it how to read them."""
    pad = 26 if subtitle else 10
    axes.set_title(text, loc="left", fontsize=13, color=INK, weight="bold", pad=pad)
    if subtitle:
        axes.annotate(
            subtitle,
            xy=(0, 1),
            xytext=(0, 10),
            xycoords="axes fraction",
            textcoords="offset points",
            fontsize=9,
            color=FAINT,
            in_layout=False,
        )


def require_format(path: Path) -> str:
    """The format of a picture file, `svg` or `png`.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"cannot draw {path.name!r}; end the name in {' or '.join(_FORMATS)}")
    return suffix[1:]


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix, `.svg` or `.png`, chooses the format.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    kind = require_format(path)
    buffer = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(buffer, format=kind, dpi=160, metadata=metadata)
    write_bytes(path, buffer.getvalue())
