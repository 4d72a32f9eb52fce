"""An experiment file: which systems are compared on what, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import SystemConfig, find_system
from crossmarket.metrics.ranking import parse_metric
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions


def _by_title(entry: Any) -> Any:
    """Let an experiment name a system of the catalogue by its title alone."""
    return find_system(entry) if isinstance(entry, str) else entry


class Experiment(BaseModel):
    """A comparison, as its YAML file describes it.

    Attributes
    ----------
    name, about : str
        Title and purpose.
    data : str
        Path of the data, relative to the YAML file.
    targets : "all" or list of str
        Markets to evaluate.
    protocol : Protocol
        What is done with the data.
    seeds : list of int
        Each seed is a split and a training of its own.
    systems : list of SystemConfig
        Rows of the table; titles are distinct. A title alone names a system of the catalogue.
    reference : str
        Title of the system that the others are tested against.
    metrics : list of str
        Columns of the table; the first one decides the tests.
    threads : int
        Threads of the numeric kernels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str = ""
    data: str
    targets: str | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    protocol: Protocol = Protocol()
    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    systems: tuple[Annotated[SystemConfig, BeforeValidator(_by_title)], ...] = Field(min_length=1)
    reference: str
    metrics: tuple[str, ...] = Field(("ndcg@10", "recall@10"), min_length=1)
    threads: PositiveInt = RunOptions.threads


def load_experiment(path: Path) -> Experiment:
    """Read an experiment and check all of it before any work is done.

    Raises
    ------
    UsageError
        With the place of the first mistake.
    """
    if not path.is_file():
        raise UsageError(f"there is no experiment file {path}")
    try:
        experiment = Experiment.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not readable YAML: {reason}") from error
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"]) or "the file"
        raise UsageError(f"{path}: {place}: {detail['msg'].lower()}") from error
    except UsageError as error:
        raise UsageError(f"{path}: systems: {error}") from error
    for place, check in _checks(experiment):
        try:
            check()
        except UsageError as error:
            raise UsageError(f"{path}: {place}: {error}") from error
    return experiment


def _checks(experiment: Experiment) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each place of an experiment with what refuses a wrong value there."""
    titles = [system.title for system in experiment.systems]
    yield "protocol", experiment.protocol.require_known
    yield "seeds", partial(_require_distinct, experiment.seeds)
    yield "metrics", partial(_require_distinct, experiment.metrics)
    yield "titles of systems", partial(_require_distinct, titles)
    yield "reference", partial(_require_title, experiment.reference, titles)
    for metric in experiment.metrics:
        yield "metrics", partial(parse_metric, metric)
    for system in experiment.systems:
        build = partial(build_model, system.model, system.preset, system.config)
        yield f"system {system.title!r}", build


def _require_distinct(values: Sequence[object]) -> None:
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UsageError(f"{twice[0]!r} is there twice; each must be there once")


def _require_title(reference: str, titles: Sequence[str]) -> None:
    if reference not in titles:
        raise UsageError(f"no system has the title {reference!r}; choose from: {', '.join(titles)}")
