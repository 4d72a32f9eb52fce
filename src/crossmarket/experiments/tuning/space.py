"""Which settings of a system tuning tries, and in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState, create_trial
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from crossmarket.errors import UsageError
from crossmarket.experiments.systems import CATALOGUE, SystemConfig
from crossmarket.models.config import flat_values
from crossmarket.models.registry import build_model

#: Trials before the sampler learns from those there are; until then it draws at random.
STARTUP_TRIALS = 5
#: Draws of the sampler that may repeat earlier settings, and after these even draws, after which
#: a space is taken to hold nothing new.
_LEARNED_DRAWS, _MOST_DRAWS = 10, 200


class Range(BaseModel):
    """Numbers from `low` to `high`, both included; whole ones where both are whole.

    Attributes
    ----------
    low, high : int or float
    log : bool
        Whether ratios count rather than differences.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    low: int | float
    high: int | float
    log: bool = False

    def distribution(self) -> BaseDistribution:
        """The range as the sampler knows it."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return IntDistribution(self.low, self.high, log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log)


class Choices(BaseModel):
    """A few values without an order.

    Attributes
    ----------
    choices : list of bool, int, float or str
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    choices: tuple[bool | int | float | str, ...] = Field(min_length=2)

    def distribution(self) -> BaseDistribution:
        """The choices as the sampler knows them."""
        return CategoricalDistribution(self.choices)


#: What may change of a system: dotted names of settings with their values.
Space = Mapping[str, Range | Choices]


@cache
def search_spaces() -> dict[str, Space]:
    """The space of each system of the catalogue, by title; empty where nothing is to be chosen."""
    text = (CATALOGUE / "search.yaml").read_text(encoding="utf-8")
    spaces = TypeAdapter(dict[str, dict[str, Range | Choices]])
    return dict(spaces.validate_python(yaml.safe_load(text)["systems"]))


def find_space(title: str) -> Space:
    """The space of a system of the catalogue.

    Raises
    ------
    UsageError
        If the catalogue says nothing of it.
    """
    if title not in search_spaces():
        raise UsageError(f"the catalogue does not say which settings of {title!r} to search")
    return search_spaces()[title]


def current_settings(system: SystemConfig, space: Space) -> dict[str, Any]:
    """The values that a system has where its space lets them change.

    Raises
    ------
    UsageError
        If the system has no such setting, or a value lies outside its range.
    """
    values = flat_values(build_model(system.model, system.preset, system.config).get_config())
    for name, setting in space.items():
        if name not in values:
            raise UsageError(f"{system.title!r} has no setting {name!r} to search")
        if not _holds(setting, values[name]):
            raise UsageError(f"{system.title!r}: {name}={values[name]} lies outside its range")
    return {name: values[name] for name in space}


def _holds(setting: Range | Choices, value: Any) -> bool:
    if isinstance(setting, Choices):
        return value in setting.choices
    return bool(setting.low <= value <= setting.high)


def propose(
    space: Space, trials: Sequence[tuple[Mapping[str, Any], float | None]], seed: int
) -> dict[str, Any] | None:
    """Settings to try next, by a tree-structured Parzen estimator.

    A function of its arguments alone, so that a search that was stopped goes on as it would have.

    Parameters
    ----------
    space : Space
        What may change.
    trials : sequence of (settings, value)
        What was tried, in order, higher values being better; None where a trial failed.
    seed : int
        Seed of the draws.

    Returns
    -------
    Settings that were not tried before, numbers to three digits; None where none are left.
    """
    distributions = {name: setting.distribution() for name, setting in space.items()}
    tried = [dict(settings) for settings, _ in trials]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for draw in range(_MOST_DRAWS):
        state = np.random.SeedSequence([seed, len(trials), draw]).generate_state(1)
        # Until enough trials are there, the sampler draws evenly.
        startup = STARTUP_TRIALS if draw < _LEARNED_DRAWS else len(trials) + 1
        sampler = optuna.samplers.TPESampler(seed=int(state[0]), n_startup_trials=startup)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        for settings, value in trials:
            end = TrialState.FAIL if value is None else TrialState.COMPLETE
            study.add_trial(
                create_trial(
                    state=end, params=dict(settings), distributions=distributions, value=value
                )
            )
        drawn = study.ask(distributions).params
        found = {name: _rounded(drawn[name]) for name in space}
        if found not in tried:
            return found
    return None


def _rounded(value: Any) -> Any:
    return float(f"{value:.3g}") if isinstance(value, float) else value
