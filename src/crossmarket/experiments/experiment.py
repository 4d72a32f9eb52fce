"""An experiment file: which systems are compared on what, and how."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationInfo,
)

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import SystemConfig, resolve_system
from crossmarket.experiments.yaml_files import read_yaml
from crossmarket.metrics.ranking import parse_metric
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions


def _by_title(entry: Any, info: ValidationInfo) -> Any:
    """Let an experiment name a system of the catalogue by its title alone."""
    try:
        return resolve_system(entry, info.data.get("protocol"))
    except UsageError as error:
        raise ValueError(error) from error


#: A place of a file with what refuses a wrong value there.
Check = tuple[str, Callable[[], object]]


class Setup(BaseModel):
    """What every file of an experiment says: on which data, for whom, under which protocol.

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
    threads : int
        Threads of the numeric kernels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    about: str = ""
    data: str
    targets: str | Annotated[tuple[str, ...], Field(min_length=1)] = "all"
    protocol: Protocol = Protocol()
    threads: PositiveInt = RunOptions.threads

    def markets(self, dataset: MarketDataset) -> tuple[str, ...]:
        """The targets by name.

        Raises
        ------
        UsageError
            If the data lack one.
        """
        if self.targets == "all":
            return dataset.markets
        names = (self.targets,) if isinstance(self.targets, str) else self.targets
        return tuple(dataset.require_market(market) for market in names)


class Experiment(Setup):
    """A comparison, as its YAML file describes it; a `Setup` with systems and seeds.

    Attributes
    ----------
    seeds : list of int
        Each seed is a split and a training of its own.
    systems : list of SystemConfig
        Rows of the table; titles are distinct. A title alone names a system of the catalogue.
    reference : str
        Title of the system that the others are tested against.
    metrics : list of str
        Columns of the table; the first one decides the tests.
    """

    seeds: tuple[NonNegativeInt, ...] = Field((0,), min_length=1)
    systems: tuple[Annotated[SystemConfig, BeforeValidator(_by_title)], ...] = Field(min_length=1)
    reference: str
    metrics: tuple[str, ...] = Field(("ndcg@10", "recall@10"), min_length=1)


def load_experiment(path: Path) -> Experiment:
    """Read an experiment and check all of it before any work is done; see `load_setup`."""
    return load_setup(path, Experiment, "experiment", _checks)


SomeSetup = TypeVar("SomeSetup", bound=Setup)


def load_setup(
    path: Path, kind: type[SomeSetup], word: str, checks: Callable[[SomeSetup], Iterable[Check]]
) -> SomeSetup:
    """Read a YAML file of experiments and check all of it.

    Parameters
    ----------
    path : Path
        The file.
    kind : type
        What it describes.
    word : str
        How messages call that.
    checks : callable
        What to check beyond the types, place by place.

    Raises
    ------
    UsageError
        With the place of the first mistake.
    """
    if not path.is_file():
        raise UsageError(f"there is no {word} file {path}")
    setup = read_yaml(path, kind)
    for place, check in checks(setup):
        try:
            check()
        except UsageError as error:
            raise UsageError(f"{path}: {place}: {error}") from error
    return setup


def _checks(experiment: Experiment) -> Iterator[Check]:
    """Each place of an experiment with what refuses a wrong value there."""
    titles = [system.title for system in experiment.systems]
    yield "protocol", experiment.protocol.require_known
    yield "seeds", partial(require_distinct, experiment.seeds)
    yield "metrics", partial(require_distinct, experiment.metrics)
    yield "titles of systems", partial(require_distinct, titles)
    yield "reference", partial(_require_title, experiment.reference, titles)
    for metric in experiment.metrics:
        yield "metrics", partial(parse_metric, metric)
    for system in experiment.systems:
        build = partial(build_model, system.model, system.preset, system.config)
        yield f"system {system.title!r}", build


def require_distinct(values: Sequence[object]) -> None:
    """Refuse a value that is there twice."""
    twice = [value for place, value in enumerate(values) if value in values[:place]]
    if twice:
        raise UsageError(f"{twice[0]!r} is there twice; each must be there once")


def _require_title(reference: str, titles: Sequence[str]) -> None:
    if reference not in titles:
        raise UsageError(f"no system has the title {reference!r}; choose from: {', '.join(titles)}")
