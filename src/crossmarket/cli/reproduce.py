"""`crossmarket reproduce`: published tables, measured again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from crossmarket.cli.commands import (
    Command,
    JsonOption,
    SeedsOption,
    ThreadsOption,
    example,
    parse_seeds,
)
from crossmarket.errors import UsageError


def reproduce(
    name: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="Published table; all without.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DATA", help="The public data that it is measured on.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder of results; resumable.")
    ] = None,
    seeds: SeedsOption = "0",
    threads: ThreadsOption = 1,
    dry_run: Annotated[
        bool, typer.Option(help="Say what would run and how long it takes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure a published table and print both side by side, with a verdict for every row."""
    from crossmarket.data.readers import read_data
    from crossmarket.experiments.published import load_published, published_tables
    from crossmarket.reproduction.plan import Step, steps
    from crossmarket.reproduction.render import to_markdown
    from crossmarket.reproduction.run import reproduce as measure
    from crossmarket.reproduction.run import setting_of, write_reproduction

    if name is None:
        for known in published_tables():
            table = load_published(known)
            typer.echo(f"{known:<14} on {table.data:<8} {table.title}")
        return
    table = load_published(name)
    if data is None or out is None:
        raise UsageError(f"{name} needs --data DATA (the public {table.data}) and --out FOLDER")
    left: list[Step] = []
    started = time.monotonic()

    def show(title: str, seed: int, record: dict[str, Any]) -> None:
        while left and (left[0].title, left[0].seed) != (title, seed):
            left.pop(0)
        if left:
            left.pop(0)
        remaining = sum(step.seconds for step in left)
        typer.echo(
            f"{title}, seed {seed}: done after {time.monotonic() - started:.0f} s, "
            f"about {remaining / 60:.0f} min left",
            err=True,
        )

    numbers = parse_seeds(seeds)
    setting = setting_of(
        table, read_data(data), out, seeds=numbers, threads=threads, progress=True, report=show
    )
    left += steps(table, setting)
    if dry_run:
        for step in left:
            state = "done" if step.done else f"about {step.seconds:,.0f} s"
            times = f", {step.times} trainings" if step.times > 1 else ""
            typer.echo(f"{step.title}, seed {step.seed}{times}: {state}")
        total = sum(step.seconds for step in left)
        typer.echo(f"together about {total / 3600:.1f} hours of one core")
        return
    record = measure(table, setting)
    paths = write_reproduction(record, out / "published")
    typer.echo(json.dumps(record, indent=2, ensure_ascii=False) if as_json else to_markdown(record))
    typer.echo("wrote " + ", ".join(str(path) for path in paths), err=True)


COMMANDS = (
    Command(
        reproduce,
        example("crossmarket reproduce dcmpt-table2 --data markets --out lab --dry-run"),
    ),
)
