"""`crossmarket compare`: systems, markets and seeds in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossmarket.cli.commands import Command, JsonOption, example
from crossmarket.errors import UsageError


def compare(
    experiment: Annotated[Path, typer.Argument(metavar="YAML", help="Experiment to run.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of results; resumable.")],
    as_json: JsonOption = False,
) -> None:
    """Fit and evaluate every system for every seed; writes table.md, .csv and .json."""
    from crossmarket.experiments.compare import run_experiment
    from crossmarket.experiments.tables import build_table, to_markdown, write_table

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose a folder for the results")

    def show(title: str, seed: int, record: dict[str, Any]) -> None:
        macro = ", ".join(f"{name} {value:.4f}" for name, value in record["macro"].items())
        typer.echo(f"{title}, seed {seed}: {macro}", err=True)

    settings, records, per_user = run_experiment(experiment, out, progress=True, report=show)
    table = build_table(settings, records, per_user)
    paths = write_table(out, table, per_user)
    typer.echo((out / "table.json").read_text(encoding="utf-8") if as_json else to_markdown(table))
    typer.echo("wrote " + ", ".join(str(path) for path in paths), err=True)


COMMANDS = (Command(compare, example("crossmarket compare experiment.yaml --out comparison")),)
