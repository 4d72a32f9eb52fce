"""A progress bar with the time left, on a terminal only."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def track_epochs(
    title: str, epochs: int, done: int, visible: bool
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show a stage's epochs; yields a function to call with each epoch's record.

    Parameters
    ----------
    title : str
        What is trained.
    epochs, done : int
        Most epochs, and how many an earlier run has done.
    visible : bool
        Whether to show anything; a pipe or a file never gets a bar.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    hidden = not (visible and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        row = bar.add_task(title, total=epochs, completed=done, note="")

        def show(record: dict[str, Any]) -> None:
            notes = [f"{name} {value:.4f}" for name, value in record.items() if name != "epoch"]
            bar.update(row, completed=record["epoch"], note="  ".join(notes))

        yield show
