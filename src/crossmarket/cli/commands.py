"""What a command module offers, and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich import box
from rich.table import Table

from crossmarket.errors import UsageError


@dataclass(frozen=True)
class Command:
    """A command's function and the end of its help, as `example` makes it."""

    function: Callable[..., None]
    epilog: str


def example(line: str) -> str:
    """The example that a help text ends with; never wrapped, so that it can be copied."""
    return f"\b\nExample: {line}"


def plain_table(*columns: str) -> Table:
    """A table without frames, whose first column is never broken and others are never cut."""
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"
    return table


RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="Folder that `fit` made.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
ThreadsOption = Annotated[
    int, typer.Option(min=1, help="Threads of the numeric kernels; part of what makes the bytes.")
]
SeedOption = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
SeedsOption = Annotated[str, typer.Option(help="Seeds, comma-separated, such as 0,1,2.")]
ProtocolOption = Annotated[
    str,
    typer.Option(
        help="ratio-full, time-full, loo-99, loo-999, given-full, launch@FRACTION, or a paper's "
        "own: forec, acmr-market, acmr-union, m3rec, dcmpt-leaky."
    ),
]
DropCompanionsOption = Annotated[
    bool,
    typer.Option(
        "--drop-companions", help="Learn from nothing a user took on the day of a held-out item."
    ),
]


def parse_settings(assignments: list[str]) -> dict[str, Any]:
    """Read `a.b=value` assignments as nested settings; values are YAML scalars or lists.

    Raises
    ------
    UsageError
        If one has no `=` or an unreadable value.
    """
    settings: dict[str, Any] = {}
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            sign = ""
        if not sign or not name:
            raise UsageError(f"cannot read --set {assignment!r}; write it as name=value")
        place = settings
        *parents, last = name.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UsageError(f"--set {assignment!r} sets a part of something already set")
        place[last] = value
    return settings


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read a comma-separated list of seeds.

    Raises
    ------
    UsageError
        If one is no whole number of at least 0 or comes twice, or there is none.
    """
    names = split_names(text)
    if not names or not all(name.isdecimal() for name in names):
        raise UsageError(f"cannot read --seeds {text!r}; write them as 0,1,2")
    seeds = tuple(int(name) for name in names)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text!r} has a seed twice; leave out the repeated one")
    return seeds


def parse_names(option: str, text: str, separator: str = ",") -> tuple[str, ...]:
    """Read the names that an option lists, each of them once.

    Raises
    ------
    UsageError
        If there is none.
    """
    names = tuple(dict.fromkeys(split_names(text, separator)))
    if not names:
        raise UsageError(f"{option} {text!r} holds no name; write at least one or leave it out")
    return names


def split_names(text: str, separator: str = ",") -> tuple[str, ...]:
    """Read a list of names, by default a comma-separated one."""
    return tuple(name for name in (part.strip() for part in text.split(separator)) if name)
