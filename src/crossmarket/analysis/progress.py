"""Saying where a long analysis is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.console import Console

from crossmarket.analysis.base import Setting

Step = TypeVar("Step")


def tracked(setting: Setting, steps: Sequence[tuple[str, Step]]) -> Iterator[Step]:
    """Go through named steps; each is announced on standard error if the setting shows progress."""
    console = Console(stderr=True, quiet=not setting.progress, highlight=False, markup=False)
    for place, (name, step) in enumerate(steps, start=1):
        console.print(f"{place}/{len(steps)} {name}", soft_wrap=True)
        yield step
