"""Elements of the page: tables, facts, maps of cells, pictures in rows, what is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from crossmarket.data.heatmap import HeatMap
from crossmarket.experiments.pages.shell import number_cell, scroll
from crossmarket.reporting.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "count",
    "facts",
    "heat_map",
    "missing",
    "number_cell",
    "paragraph",
    "picture",
    "pictures",
    "sentences",
    "size_text",
    "table",
    "text_cell",
]


def text_cell(text: str, *, kind: str = "") -> str:
    """A table cell of text."""
    return f'<td class="{kind}">{escape(text)}</td>' if kind else f"<td>{escape(text)}</td>"


def count(value: int) -> str:
    """A table cell of a whole number."""
    return number_cell(f"{value:,}", value)


def table(caption: str, heads: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """A table that scrolls sideways where it is wider than the screen.

    Parameters
    ----------
    caption : str
        What it shows.
    heads : sequence of str
        Names of the columns; one that starts with `#` is a column of numbers.
    rows : iterable of (str, sequence of str)
        Name of each row, and the HTML of its cells.
    """
    top = "".join(
        f'<th scope="col"{" class=number" if head.startswith("#") else ""}>'
        f"{escape(head.removeprefix('#'))}</th>"
        for head in heads
    )
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>' for name, cells in rows
    )
    return scroll(
        f"<table><caption><span>{escape(caption)}</span></caption><thead><tr>{top}</tr></thead>"
        f"<tbody>{body}</tbody></table>",
        caption,
        kind="fit",
    )


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names with their values, one below the other."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f'<dl class="guide facts">{inside}</dl>'


def paragraph(text: str, *, kind: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def sentences(texts: Iterable[str], *, kind: str = "findings") -> str:
    """A list of plain sentences; nothing where there are none."""
    inside = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{inside}</ul>' if inside else ""


def missing(what: str, command: str) -> str:
    """A sentence on a part that the run has no data for."""
    return (
        f'<p class="missing">Not here: {escape(what)}. <code>{escape(command)}</code> makes it.</p>'
    )


def heat_map(shown: HeatMap) -> str:
    """A heat map as a table, so that it follows the colours and the width of the page."""
    same = np.array([[row == column for column in shown.columns] for row in shown.rows])
    top = float(np.max(np.where(same, 0.0, shown.values), initial=0.0)) or 1.0
    rows = []
    for name, values, cells, own in zip(shown.rows, shown.values, shown.cells, same, strict=True):
        inside = []
        for value, text, itself in zip(values.tolist(), cells, own, strict=True):
            first, _, second = escape(text).partition("\n")
            told = first + (f"<small>{second}</small>" if second else "")
            inside.append(
                f'<td class="own">{told}</td>'
                if itself
                else f'<td class="heat" data-value="{value!r}" '
                f'style="--heat:{round(100 * value / top)}">{told}</td>'
            )
        rows.append((name, inside))
    caption = f"{shown.title}: {shown.subtitle}"
    return f'<div class="map">{table(caption, ["", *shown.columns], rows)}</div>'


def picture(heading: str, told: str, prefix: str, draw: Callable[[], Figure]) -> str:
    """A picture with its heading and what to see in it; `prefix` is unique in the page."""
    caption = f"<figcaption>{escape(told)}</figcaption>" if told else ""
    return (
        f"<figure><h4>{escape(heading)}</h4>{inline_svg(heading, prefix, draw)}{caption}</figure>"
    )


def pictures(items: Iterable[str], *, large: bool = False) -> str:
    """Pictures side by side, as many in a row as the screen has room for."""
    return f'<div class="pictures{" large" if large else ""}">{"".join(items)}</div>'


def size_text(size: float) -> str:
    """A number of bytes in words."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:,.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"
