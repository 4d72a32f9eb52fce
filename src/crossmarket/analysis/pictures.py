"""The look of the pictures, and their bytes: the same table gives the same file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from crossmarket.errors import UsageError
from crossmarket.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#22313f", "#7b8794", "#eef1f4"
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
_FORMATS = (".svg", ".png")


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


def title(axes: Axes, text: str, subtitle: str = "") -> None:
    """Write what the axes show, and below it how to read them."""
    axes.set_title(text, loc="left", fontsize=13, weight="bold", pad=26 if subtitle else 10)
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


def save(figure: Figure, path: Path) -> None:
    """Write a figure; the suffix, `.svg` or `.png`, chooses the format.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    suffix = path.suffix.lower()
    if suffix not in _FORMATS:
        raise UsageError(f"cannot draw {path.name!r}; end the name in {' or '.join(_FORMATS)}")
    buffer = io.BytesIO()
    metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
    figure.savefig(buffer, format=suffix[1:], dpi=160, metadata=metadata)
    write_bytes(path, buffer.getvalue())


def colour_of(names: Sequence[str]) -> dict[str, str]:
    """One colour for each name, repeated after eight."""
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


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
    """
    panels = table[panel].unique(maintain_order=True).to_list()
    groups = table[group].unique(maintain_order=True).to_list()
    names = table[series].unique(maintain_order=True).to_list()
    colours = colour_of(names)
    columns = min(len(panels), 4)
    rows = -(-len(panels) // columns)
    size = (max(3.2 * columns, 6.4), 2.7 * rows + 1.0)
    figure, axes = new_figure(*size, rows, columns, sharey=False)
    cells = table.group_by(panel, group, series).agg(
        pl.col(value).mean().alias("mean"), pl.col(value).std().alias("std")
    )
    found = {tuple(row[:3]): row[3:] for row in cells.iter_rows()}
    width = 0.84 / len(names)
    for place, one in zip(panels, axes, strict=False):
        for index, name in enumerate(names):
            values = [found.get((place, at, name), (float("nan"), None)) for at in groups]
            positions = [at + (index - (len(names) - 1) / 2) * width for at in range(len(groups))]
            one.bar(
                positions,
                [mean for mean, _ in values],
                width * 0.92,
                yerr=[spread or 0.0 for _, spread in values],
                error_kw={"linewidth": 0.8, "ecolor": INK},
                color=colours[name],
                label=name,
            )
        one.set_xticks(range(len(groups)), [str(at) for at in groups])
        one.grid(visible=False, axis="x")
        one.set_title(str(place), loc="left", weight="bold")
    for one in axes[len(panels) :]:
        one.set_visible(False)
    for one in axes[::columns]:
        one.set_ylabel(value_label)
    figure.supxlabel(group_label, fontsize=10)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=13, weight="bold")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(names), 4))
    return figure
