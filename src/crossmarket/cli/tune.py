"""`crossmarket tune`: the same budget of trials for every system."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossmarket.cli.commands import Command, example, parse_names
from crossmarket.errors import UsageError


def tune(
    plan: Annotated[Path, typer.Argument(metavar="YAML", help="Plan of the tuning.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of results; resumable.")],
    only: Annotated[
        list[str] | None, typer.Option(metavar="TITLE", help="Tune this system now; repeatable.")
    ] = None,
    protocol: Annotated[str | None, typer.Option(help="Instead of the plan's.")] = None,
    markets: Annotated[
        str | None, typer.Option(help="Target markets, comma-separated, instead of the plan's.")
    ] = None,
) -> None:
    """Search settings on validation; writes a JSON file for each system, and tuned.yaml."""
    from crossmarket.data.readers import read_data
    from crossmarket.evaluation.protocols import Protocol
    from crossmarket.experiments.tuning.plan import load_plan
    from crossmarket.experiments.tuning.run import tune as search

    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file; choose a folder for the results")
    setup = load_plan(plan)
    if protocol:
        setup = setup.model_copy(update={"protocol": Protocol(name=protocol).require_known()})
    if markets:
        setup = setup.model_copy(update={"targets": parse_names("--markets", markets)})
    data = read_data((plan.parent / setup.data).resolve())
    records = search(setup, out, data, only=only or (), progress=True, report=_show)
    for record in records:
        typer.echo(_summary(record))
    typer.echo(f"wrote {out / 'tuned.yaml'}", err=True)


def _show(title: str, trial: dict[str, Any]) -> None:
    value = trial["error"] if trial["value"] is None else f"{trial['value']:.4f}"
    line = f"{title}, trial {trial['number']}: {value} ({_listed(trial['settings'])})"
    typer.echo(line, err=True)


def _summary(record: dict[str, Any]) -> str:
    """One line on what the tuning of a system came to."""
    trials = record["trials"]
    failed = sum(trial["value"] is None for trial in trials)
    counted = "1 trial" if len(trials) == 1 else f"{len(trials)} trials"
    spent = f"{counted}, {failed} failed, {record['seconds']:.0f} s"
    best, default = record["best"], record["default"]
    if best is None:
        return f"{record['title']}: no trial succeeded ({spent}): {trials[0]['error']}"
    start = "failed" if default is None else f"{default:.4f}"
    found = _listed(best["settings"])
    return f"{record['title']}: {start} -> {best['value']:.4f} ({spent}): {found}"


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items()) or "nothing to choose"


COMMANDS = (Command(tune, example("crossmarket tune plan.yaml --out tuning")),)
