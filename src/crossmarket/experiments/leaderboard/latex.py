"""A leaderboard as LaTeX tables."""

from __future__ import annotations

from crossmarket.experiments.leaderboard.board import MACRO, Block, Cell, Leaderboard
from crossmarket.experiments.leaderboard.rows import ResultRow, result_rows
from crossmarket.experiments.leaderboard.wording import (
    BETTER_MARK,
    LEVEL_MARK,
    WORSE_MARK,
    facts,
    legend,
    marks,
    mean_text,
    missing,
    note_letters,
    spread_text,
)

_TEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    **{sign: "\\" + sign for sign in "&%$#_{}"},
    "±": r"$\pm$",
    LEVEL_MARK: r"$\approx$",
    BETTER_MARK: r"$\uparrow$",
    WORSE_MARK: r"$\downarrow$",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}


def tex(text: str) -> str:
    """Text that LaTeX sets as it is."""
    return "".join(_TEX_SIGNS.get(sign, sign) for sign in text)


def to_tex(board: Leaderboard) -> str:
    r"""A `table` for each protocol and metric; the document needs `\usepackage{booktabs}`."""
    lines = [r"% Needs \usepackage{booktabs} and UTF-8 input."]
    for block in board.blocks:
        for metric in block.metrics:
            lines += ["", *_tex_table(block, metric)]
    return "\n".join(lines) + "\n"


def _tex_table(block: Block, metric: str) -> list[str]:
    about = [facts(block), *legend(block)]
    about += [f"({letter}) {note}." for note, letter in note_letters(block).items()]
    about += [f"Not measured: {sentence}" for sentence in missing(block)]
    head = " & ".join(["system", "rank", *(tex(column) for column in block.columns)])
    rows = [_tex_line(row, row.rank) for row in result_rows(block, metric) if row.rank is not None]
    return [
        r"\begin{table}",
        r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{tex(f'{metric} under {block.protocol}')}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(block.columns) + 1)}}}",
        r"\toprule",
        head + r" \\",
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        rf"\par\smallskip\raggedright {tex(' '.join(about))}",
        r"\end{table}",
    ]


def _tex_line(row: ResultRow, rank: float) -> str:
    title = tex(row.entry.title)
    if row.letters:
        title += rf"\textsuperscript{{{row.letters}}}"
    cells = [title, f"{rank:.1f}"]
    cells += [_tex_cell(cell, column) for column, cell in row.cells.items()]
    return " & ".join(cells) + r" \\"


def _tex_cell(cell: Cell, column: str) -> str:
    number = rf"\textbf{{{mean_text(cell)}}}" if cell.standing == "best" else mean_text(cell)
    return number + tex(marks(cell) + (spread_text(cell) if column == MACRO else ""))
