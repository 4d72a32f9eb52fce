"""`crossmarket demo`: the main job on the built-in markets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from crossmarket.cli.commands import Command, SeedOption, ThreadsOption, example


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where everything goes.")] = Path(
        "runs/demo"
    ),
    seed: SeedOption = 0,
    threads: ThreadsOption = 2,
) -> None:
    """Simulate markets, learn from all, adapt to each, compare with controls, recommend."""
    from crossmarket.experiments.demo import run_demo

    def show(message: str) -> None:
        typer.echo(message)

    result = run_demo(out, seed=seed, threads=threads, report=show)
    console = Console()
    console.print(_comparison(result.table))
    for market, lists in result.lists.items():
        user = lists["user_id"][0]
        shown = Table("rank", "item", "score", title=f"top 10 for user {user} of {market}")
        for row in lists.iter_rows(named=True):
            shown.add_row(str(row["rank"]), row["item_id"], f"{row['score']:.4f}")
        console.print(shown)
    for name, place in result.places.items():
        typer.echo(f"{name}: {place}")


def _comparison(table: dict[str, Any]) -> Table:
    markets = list(table["users"])
    title = f"ndcg@10, {table['protocol']}, seed {table['seeds'][0]}"
    shown = Table("system", "trainable", "macro", *markets, title=title)
    for row in table["systems"]:
        cells = [row["macro"], *(row["markets"][market] for market in markets)]
        numbers = [f"{cell['ndcg@10']['mean']:.4f}" for cell in cells]
        shown.add_row(row["title"], f"{sum(row['trainable'].values()):,}", *numbers)
    return shown


COMMANDS = (Command(demo, example("crossmarket demo --out runs/demo")),)
