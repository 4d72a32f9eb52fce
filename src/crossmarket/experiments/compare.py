"""Many systems, several seeds, one protocol: one honest table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
)

from crossmarket.data.readers import ReadResult, read_data
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import METRICS, evaluate_market, summarise
from crossmarket.evaluation.leak import assert_no_leak
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.fitting import (
    SourceSplit,
    checkpoint_seconds,
    fit_target,
    stage_folder,
)
from crossmarket.experiments.locking import locked
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import (
    content_hash,
    read_json,
    remove_temporaries,
    write_atomically,
    write_json,
)
from crossmarket.metrics.ranking import parse_metric
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions


class SystemConfig(BaseModel):
    """One row of the table.

    Attributes
    ----------
    title : str
        How the table calls it.
    model, preset, config
        As `build_model` takes them.
    source_split : {"train", "all"}
        Which interactions of the sources it learns from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str
    preset: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    source_split: SourceSplit = "train"


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
        Rows of the table; titles are distinct.
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
    systems: tuple[SystemConfig, ...] = Field(min_length=1)
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


class Comparison:
    """Runs an experiment into a folder, one cached result for each system and seed.

    Parameters
    ----------
    experiment : Experiment
        What to compare.
    folder : Path
        Results lie in `folder/results`, trained stages in `folder/stages`.
    data : ReadResult
        The experiment's data.
    progress : bool
        Show progress bars on a terminal.
    stages : Path, optional
        Folder of trained stages to use instead, to share them with a run.
    """

    def __init__(
        self,
        experiment: Experiment,
        folder: Path,
        data: ReadResult,
        *,
        progress: bool = False,
        stages: Path | None = None,
    ) -> None:
        self.stages = folder / "stages" if stages is None else stages
        self.experiment, self.folder, self.data, self.progress = experiment, folder, data, progress
        named = experiment.targets
        if named == "all":
            self.targets = data.dataset.markets
        else:
            names = (named,) if isinstance(named, str) else named
            self.targets = tuple(data.dataset.require_market(market) for market in names)
        self.metrics = tuple(dict.fromkeys([*experiment.metrics, *METRICS]))

    def run(
        self, report: Callable[[str, int, dict[str, Any]], None] = lambda title, seed, row: None
    ) -> tuple[list[dict[str, Any]], pl.DataFrame]:
        """Compute what is missing, seed by seed.

        Returns
        -------
        One record for each system and seed, and all per-user values: `system, seed, market,
        user_id` and a column for each metric.
        """
        with locked(self.folder):
            remove_temporaries(self.folder)
            return self._run(report)

    def _run(
        self, report: Callable[[str, int, dict[str, Any]], None]
    ) -> tuple[list[dict[str, Any]], pl.DataFrame]:
        records, frames = [], []
        for seed in self.experiment.seeds:
            memory: dict[str, Any] = {}
            for system in self.experiment.systems:
                record, per_user = self._result(system, seed, memory)
                records.append(record)
                keys = [pl.lit(system.title).alias("system"), pl.lit(seed).alias("seed")]
                frames.append(per_user.select(*keys, pl.all()))
                report(system.title, seed, record)
        return records, pl.concat(frames)

    def _result(
        self, system: SystemConfig, seed: int, memory: dict[str, Any]
    ) -> tuple[dict[str, Any], pl.DataFrame]:
        model = build_model(system.model, system.preset, system.config)
        key = {
            "data": self.data.dataset.fingerprint,
            "targets": list(self.targets),
            "protocol": self.experiment.protocol.model_dump(mode="json"),
            "metrics": list(self.metrics),
            "seed": seed,
            "threads": self.experiment.threads,
            "model": system.model,
            "config": model.get_config(),
            "source_split": system.source_split,
            "versions": versions(system.model),
        }
        place = self.folder / "results" / content_hash(key)[:16]
        record: dict[str, Any]
        record_file, users_file = place.with_suffix(".json"), place.with_suffix(".parquet")
        if record_file.is_file() and users_file.is_file():
            record = read_json(record_file)
            return {**record, "title": system.title}, pl.read_parquet(users_file)
        computed, per_user = self._compute(system, seed, memory)
        record = {**computed, "key": key, "commit": commit()}
        write_atomically(users_file, per_user.write_parquet)
        write_json(record_file, record)
        return {**record, "title": system.title}, per_user

    def _compute(
        self, system: SystemConfig, seed: int, memory: dict[str, Any]
    ) -> tuple[dict[str, Any], pl.DataFrame]:
        protocol = self.experiment.protocol
        split = protocol.split(self.data, seed)
        assert_no_leak(split)
        options = RunOptions(
            seed=seed,
            threads=self.experiment.threads,
            progress=self.progress,
            workspace=stage_folder(self.stages, system.model),
            checkpoint_seconds=checkpoint_seconds(),
            memory=memory,
        )

        def build() -> Recommender:
            return build_model(system.model, system.preset, system.config, options)

        parts, trainable = [], {}
        for target in self.targets:
            model = fit_target(
                build,
                protocol,
                split,
                target,
                source_split=system.source_split,
                everything=self.data.dataset,
            )
            parts.append(evaluate_market(model, protocol, split, target, self.metrics))
            trainable[target] = model.num_trainable()
        summary = summarise(parts, self.metrics)
        facts = {
            "seed": seed,
            "trainable": trainable,
            "candidates": protocol.candidates_hash(split),
        }
        return {**summary, **facts}, pl.concat([part.per_user for part in parts])


def run_experiment(
    path: Path,
    folder: Path,
    *,
    progress: bool = False,
    report: Callable[[str, int, dict[str, Any]], None] = lambda title, seed, row: None,
) -> tuple[Experiment, list[dict[str, Any]], pl.DataFrame]:
    """Load an experiment, read its data, compute what is missing."""
    experiment = load_experiment(path)
    data = read_data((path.parent / experiment.data).resolve())
    comparison = Comparison(experiment, folder, data, progress=progress)
    records, per_user = comparison.run(report)
    return experiment, records, per_user
