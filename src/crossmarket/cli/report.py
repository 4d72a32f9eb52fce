"""`crossmarket report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossmarket.cli.commands import Command, RunPath, example


def report(
    run: RunPath,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The page; RUN/report.html by default.")
    ] = None,
    analyses: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Show the analyses that `analyse` wrote there."),
    ] = None,
) -> None:
    """Write all there is to know of a run as one page that opens without a network."""
    from crossmarket.reporting.page import write_report

    typer.echo(f"wrote {write_report(run, out, analyses=analyses)}")


COMMANDS = (Command(report, example("crossmarket report run --out report.html")),)
