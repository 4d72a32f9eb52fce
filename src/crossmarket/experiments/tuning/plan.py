"""A tuning file: which systems are tuned on what, and how much each may spend."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from crossmarket.experiments.experiment import Check, Setup, load_setup, require_distinct
from crossmarket.experiments.systems import find_start
from crossmarket.experiments.tuning.space import current_settings, find_space


class TuningPlan(Setup):
    """A search for settings, as its YAML file describes it; a `Setup` with systems and a budget.

    Attributes
    ----------
    seed : int
        Seed of the split, of every training and of the search.
    trials : int
        Most trials of a system, the settings of the catalogue being the first.
    seconds : float
        CPU time after which a system starts no further trial; one that has begun is ended.
    systems : list of str
        Titles of the catalogue.
    """

    seed: NonNegativeInt = 0
    trials: PositiveInt
    seconds: PositiveFloat
    systems: tuple[str, ...] = Field(min_length=1)


def load_plan(path: Path) -> TuningPlan:
    """Read a plan and check all of it before any work is done; see `load_setup`."""
    return load_setup(path, TuningPlan, "tuning", _checks)


def _checks(plan: TuningPlan) -> Iterator[Check]:
    yield "protocol", plan.protocol.require_known
    yield "systems", partial(require_distinct, plan.systems)
    for title in plan.systems:
        yield "systems", partial(_require_searchable, title)


def _require_searchable(title: str) -> None:
    current_settings(find_start(title), find_space(title))
