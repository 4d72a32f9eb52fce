"""Pieces of Markdown that several generators need."""

from __future__ import annotations

import re
from collections.abc import Sequence

GENERATED = "<!-- Written by `make docs` from the code; do not edit. -->"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    """Lines of a table; `align` holds `l` or `r` for each column (left where missing)."""
    rules = ["---:" if mark == "r" else "---" for mark in align.ljust(len(header), "l")]
    lines = [list(header), rules, *([_cell(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


def anchor(title: str) -> str:
    """Fragment that a heading gets: lower case, no punctuation, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def replace_section(text: str, name: str, content: str) -> str:
    """Put `content` between the markers `name:start` and `name:end` of a page.

    Raises
    ------
    ValueError
        If the page does not have each marker once.
    """
    start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
    if text.count(start) != 1 or text.count(end) != 1:
        raise ValueError(f"the page needs {start} and {end} once each")
    before, rest = text.split(start)
    after = rest.split(end)[1]
    return f"{before}{start}\n{content.strip()}\n{end}{after}"
