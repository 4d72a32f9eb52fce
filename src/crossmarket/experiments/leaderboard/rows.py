"""The rows of a leaderboard's tables, whatever they are written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crossmarket.experiments.leaderboard.board import Block, Cell, Entry, Leaderboard, System
from crossmarket.experiments.leaderboard.wording import note_letters


@dataclass(frozen=True)
class ResultRow:
    """A system in the table of one protocol and metric.

    Attributes
    ----------
    place : int
        Place of the system in the leaderboard, from 0.
    entry : Entry
        All that was measured under the protocol.
    letters : str
        Letters of its notes, as in `a,c`; empty without notes.
    rank : float or None
        Mean rank over the markets; None without result.
    cells : dict
        The numbers by column, in the order of the block's columns; empty without result.
    """

    place: int
    entry: Entry
    letters: str
    rank: float | None
    cells: Mapping[str, Cell]


def result_rows(block: Block, metric: str) -> list[ResultRow]:
    """A row for each system, measured or not, in the order of the leaderboard."""
    letters = note_letters(block)
    return [
        ResultRow(
            place,
            entry,
            ",".join(letters[note] for note in entry.notes),
            entry.rank.get(metric),
            {column: entry.cells[metric][column] for column in block.columns if entry.cells},
        )
        for place, entry in enumerate(block.entries)
    ]


@dataclass(frozen=True)
class SummaryRow:
    """A system over all protocols.

    Attributes
    ----------
    place : int
        Place of the system in the leaderboard, from 0.
    system : System
        What it is.
    entries : tuple of Entry
        Its results, one for each protocol.
    ranks : tuple of float or None
        Mean rank by the protocol's first metric; None where there is no result.
    parameters : float or None
        Trainable numbers of one market's model, mean over markets; None where nothing is known.
    parameters_uk : int or None
        Those of the model of uk.
    """

    place: int
    system: System
    entries: tuple[Entry, ...]
    ranks: tuple[float | None, ...]
    parameters: float | None
    parameters_uk: int | None


def summary_rows(board: Leaderboard) -> list[SummaryRow]:
    """A row for each system, measured or not."""
    rows = []
    for place, system in enumerate(board.systems):
        entries = tuple(block.entries[place] for block in board.blocks)
        ranks = tuple(
            entry.rank.get(block.metrics[0])
            for block, entry in zip(board.blocks, entries, strict=True)
        )
        sized = next((entry for entry in entries if entry.trainable), Entry(system.title))
        parameters, of_uk = sized.mean_trainable, sized.trainable.get("uk")
        rows.append(SummaryRow(place, system, entries, ranks, parameters, of_uk))
    return rows
