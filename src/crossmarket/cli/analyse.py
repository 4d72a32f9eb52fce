"""`crossmarket analyse`: figures and analyses of the papers, and ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossmarket.cli.commands import (
    Command,
    SeedsOption,
    ThreadsOption,
    example,
    parse_names,
    parse_seeds,
)
from crossmarket.errors import UsageError


def analyse(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Analysis; the list of all without.")
    ] = None,
    data: Annotated[Path | None, typer.Option(metavar="DATA", help="Interactions.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of what it gives; resumable.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Results and stages to share; a folder inside OUT by default."
        ),
    ] = None,
    markets: Annotated[
        str | None, typer.Option(help="Target markets, comma-separated; all by default.")
    ] = None,
    systems: Annotated[
        str | None,
        typer.Option(
            help="Titles of the catalogue's systems or patterns such as `EASE*`, separated by `;`."
        ),
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Instead of the analysis' own.")] = None,
    seeds: SeedsOption = "0",
    threads: ThreadsOption = 1,
) -> None:
    """Write an analysis as NAME.csv, NAME.svg, NAME.png and NAME.json."""
    from crossmarket.analysis.registry import ANALYSES, find_analysis
    from crossmarket.analysis.run import run_analysis
    from crossmarket.data.readers import read_data
    from crossmarket.evaluation.protocols import Protocol
    from crossmarket.experiments.systems import matching_titles

    if name is None:
        for known in ANALYSES.values():
            typer.echo(f"{known.name:<22} {known.summary} ({known.source})")
        return
    found = find_analysis(name)
    if data is None or out is None:
        raise UsageError(f"{name} needs --data DATA and --out FOLDER")
    titles = matching_titles(parse_names("--systems", systems, ";")) if systems else None
    setting = found.setting(
        read_data(data),
        work or out / "work",
        markets=parse_names("--markets", markets) if markets else None,
        systems=titles,
        protocol=Protocol(name=protocol).require_known() if protocol else None,
        seeds=parse_seeds(seeds),
        threads=threads,
        progress=True,
    )
    _, paths = run_analysis(found, setting, out)
    typer.echo("wrote " + ", ".join(str(path) for path in paths))


COMMANDS = (
    Command(
        analyse, example("crossmarket analyse market-similarity --data markets --out analyses")
    ),
)
