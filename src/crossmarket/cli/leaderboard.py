"""`crossmarket leaderboard`: many comparisons in one table and on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossmarket.cli.commands import Command, example
from crossmarket.errors import UsageError


def leaderboard(
    folders: Annotated[
        list[Path], typer.Argument(metavar="FOLDER...", help="Folders that `compare` wrote.")
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the leaderboard.")],
    reasons: Annotated[
        Path | None,
        typer.Option(
            metavar="YAML", help="Why a system has no result: `protocol: {title: sentence}`."
        ),
    ] = None,
) -> None:
    """Gather comparisons; writes leaderboard.html, .md, .tex, .csv and .json."""
    from crossmarket.experiments.leaderboard.gather import gather, read_reasons
    from crossmarket.experiments.leaderboard.render import write_leaderboard

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose a folder for the leaderboard")
    told = read_reasons(reasons) if reasons else None
    board = gather(folders, reasons=told)
    paths = write_leaderboard(out, board)
    for block in board.blocks:
        counts = f"{len(block.measured)} of {len(block.entries)} systems measured"
        typer.echo(f"{block.protocol}: {counts}")
    typer.echo("wrote " + ", ".join(str(path) for path in paths))


COMMANDS = (Command(leaderboard, example("crossmarket leaderboard comparison --out leaderboard")),)
