"""A leaderboard as json, csv and md; `latex` and `page` make the rest."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from crossmarket.experiments.leaderboard.board import MACRO, Block, Entry, Leaderboard
from crossmarket.experiments.leaderboard.latex import to_tex
from crossmarket.experiments.leaderboard.page import to_html
from crossmarket.experiments.leaderboard.rows import ResultRow, result_rows, summary_rows
from crossmarket.experiments.leaderboard.wording import (
    facts,
    legend,
    marks,
    mean_text,
    missing,
    note_letters,
    sources_text,
    spread_text,
    whole_text,
)
from crossmarket.files import write_json, write_text

_CSV_SCHEMA = {
    "protocol": pl.String,
    "system": pl.String,
    "market": pl.String,
    "metric": pl.String,
    "mean": pl.Float64,
    "std": pl.Float64,
    "seeds": pl.Int64,
    "users": pl.Int64,
    "difference": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p_holm": pl.Float64,
    "note": pl.String,
}


def write_leaderboard(folder: Path, board: Leaderboard) -> list[Path]:
    """Write `leaderboard.{json,csv,md,tex,html}`; returns their paths.

    Equal leaderboards give equal bytes.
    """
    path = folder / "leaderboard"
    write_json(path.with_suffix(".json"), board.to_dict())
    texts = {
        ".csv": to_frame(board).write_csv(),
        ".md": to_markdown(board),
        ".tex": to_tex(board),
        ".html": to_html(board),
    }
    for suffix, text in texts.items():
        write_text(path.with_suffix(suffix), text)
    return [path.with_suffix(suffix) for suffix in (".json", *texts)]


def to_frame(board: Leaderboard) -> pl.DataFrame:
    """Long form, a row for each protocol, system, market (`macro` too) and metric.

    Where there is no result the numbers are null and `note` says why.
    """
    rows = [
        _csv_row(block, entry, column, metric)
        for block in board.blocks
        for entry in block.entries
        for column in block.columns
        for metric in block.metrics
    ]
    return pl.DataFrame(rows, schema=_CSV_SCHEMA, orient="row")


def _csv_row(block: Block, entry: Entry, column: str, metric: str) -> tuple[object, ...]:
    head = (block.protocol, entry.title, column, metric)
    if entry.reason is not None:
        return (*head, None, None, 0, *[None] * 5, entry.reason)
    cell = entry.cells[metric][column]
    numbers = (cell.mean, cell.std, len(entry.seeds), block.users_of(column))
    test = cell.versus
    tested = (test.difference, test.low, test.high, test.p_holm) if test else (None,) * 4
    return (*head, *numbers, *tested, "; ".join(entry.notes) or None)


def to_markdown(board: Leaderboard) -> str:
    """A table for each protocol and metric, and one of ranks over the protocols."""
    lines = ["# Leaderboard", "", *_md_summary(board)]
    for block in board.blocks:
        lines += [f"## {_md(block.protocol)}", "", f"{_md(block.summary)}.", "", facts(block), ""]
        lines += [_md(" ".join(legend(block))), ""]
        for metric in block.metrics:
            lines += _md_head([metric, "rank", *block.columns], numbers_from=1)
            lines += [_md_line(row, len(block.columns)) for row in result_rows(block, metric)]
            lines.append("")
        for note, letter in note_letters(block).items():
            lines += [f"<sup>{letter}</sup> {_md(note)}", ""]
        for sentence in missing(block):
            lines += [f"Not measured: {_md(sentence)}", ""]
    return "\n".join(lines)


def _md_summary(board: Leaderboard) -> list[str]:
    """Family, size and mean rank of every system under every protocol."""
    labels = [f"rank, {block.protocol}" for block in board.blocks]
    head = ["system", "family", "other markets", "parameters, mean", "parameters, uk", *labels]
    lines = _md_head(head, numbers_from=3)
    for row in summary_rows(board):
        ranked = zip(row.ranks, board.blocks, strict=True)
        cells = [
            _md(row.system.title),
            row.system.family,
            sources_text(row.system),
            whole_text(row.parameters),
            whole_text(row.parameters_uk),
            *("-" if rank is None else f"{rank:.1f} of {len(b.measured)}" for rank, b in ranked),
        ]
        lines.append(_md_cells(cells))
    return [*lines, ""]


def _md_head(names: Sequence[str], numbers_from: int) -> list[str]:
    rule = ["---:" if place >= numbers_from else "---" for place in range(len(names))]
    return [_md_cells([_md(name) for name in names]), "|" + "|".join(rule) + "|"]


def _md_cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _md_line(row: ResultRow, columns: int) -> str:
    title = _md(row.entry.title)
    if row.letters:
        title += f" <sup>{row.letters}</sup>"
    if row.rank is None:
        return _md_cells([title, *["-"] * (columns + 1)])
    cells = [title, f"{row.rank:.1f}"]
    for column, cell in row.cells.items():
        number = f"**{mean_text(cell)}**" if cell.standing == "best" else mean_text(cell)
        spread = spread_text(cell) if column == MACRO else ""
        cells.append(f"{number}{marks(cell)}{spread}")
    return _md_cells(cells)


def _md(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    escaped = html.escape(text, quote=False)
    for sign in ("\\", "|", "*", "_", "`", "[", "]"):
        escaped = escaped.replace(sign, "\\" + sign)
    return escaped
