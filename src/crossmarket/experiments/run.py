"""A run folder: one model fitted for some targets, ready to be evaluated and to recommend.

RUN/
  run.json                     settings, data fingerprint, versions
  data/                        the interactions, as a store, with their row accounting
  PROTOCOL/split/              the parts that the protocol cut, as a store
  PROTOCOL/stages/KIND-HASH/   trained tensors, histories, checkpoints of interrupted training;
                               a plug-in's lie in a folder PACKAGE-VERSION of their own
  PROTOCOL/fit.json            what was fitted: trainable scalars and stages of each target
  PROTOCOL/evaluation*.json    results; beside them per-user values, and where each held-out
                               interaction came in its user's list

A training is saved every 5 seconds, or as often as the variable `CROSSMARKET_CHECKPOINT_SECONDS`
of the environment says; how often it is saved changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.readers import ReadResult, read_data
from crossmarket.data.splits import Split
from crossmarket.data.store import is_store, write_store
from crossmarket.errors import DataError, UsageError
from crossmarket.evaluation.evaluator import MarketEvaluation, evaluate_market, summarise
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.candidates import keep_candidates
from crossmarket.experiments.fitting import (
    SourceSplit,
    checkpoint_seconds,
    fit_target,
    stage_folder,
)
from crossmarket.experiments.locking import locked
from crossmarket.experiments.provenance import commit, versions
from crossmarket.experiments.run_record import (
    RUN_FORMAT,
    check_place,
    load_record,
    write_record,
)
from crossmarket.experiments.stored_split import is_split, write_split
from crossmarket.files import remove_temporaries, write_atomically, write_json
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model, find_model
from crossmarket.training.options import RunOptions


class RunSettings(BaseModel):
    """What shapes a run, apart from its data.

    Attributes
    ----------
    model : str
        Short name of the system.
    config : dict
        Its whole configuration, every default written out.
    targets : tuple of str
        Markets to adapt to.
    protocol : Protocol
        The protocol the run was fitted for first.
    seed, threads, device
        As in `RunOptions`.
    source_split : {"train", "all"}
        As in `fit_target`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    config: dict[str, Any]
    targets: tuple[str, ...]
    protocol: Protocol = Protocol()
    seed: int = 0
    threads: int = RunOptions.threads
    device: str = RunOptions.device
    source_split: SourceSplit = "train"


class Run:
    """A run folder on disk; make one with `create`, come back to it with `open`."""

    def __init__(self, path: Path, settings: RunSettings, data: ReadResult) -> None:
        self.path, self.settings, self.data = path, settings, data
        self._memory: dict[str, Any] = {}
        _require_device(settings.device)

    @classmethod
    def create(cls, path: Path, settings: RunSettings, data: ReadResult) -> Self:
        """Start a run, or come back to the same one, perhaps with further targets.

        A target that is added reuses the backbone, and no other target's files change.

        Raises
        ------
        UsageError
            If the folder holds something else, or a run of other data or settings; the message
            names what differs. Nothing is written then.
        DataError
            If the data cannot be split as the protocol says, or their own parts leak.
        """
        record = {
            "format": RUN_FORMAT,
            "settings": settings.model_dump(mode="json"),
            "data": data.dataset.fingerprint,
            "versions": versions(settings.model),
        }
        check_place(path, record)
        cls(path, settings, data).split(settings.protocol)
        with locked(path):
            check_place(path, record)  # another process may have been here since
            write_record(path, record)
            if not is_store(path / "data"):
                write_store(data, path / "data")
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run; its data are verified.

        Raises
        ------
        UsageError
            If the folder is no run.
        """
        record = load_record(path)
        data = read_data(path / "data", format="store")
        if data.dataset.fingerprint != record["data"]:
            raise DataError(f"the data in {path} are not those the run was made of; fit it again")
        return cls(path, RunSettings.model_validate(record["settings"]), data)

    def protocol(self, name: str | None, **options: Any) -> Protocol:
        """The run's own protocol, or another by name, with options changed."""
        own = self.settings.protocol
        start = own.model_dump() if name in (None, own.name) else {"name": name}
        try:
            return Protocol.model_validate({**start, **options})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(f"protocol option {place}: {first['msg'].lower()}") from error

    def split(self, protocol: Protocol) -> Split:
        """The protocol's split of the run's data, checked for leaks."""
        split = protocol.split(self.data, self.settings.seed)
        protocol.require_sound(split)
        return split

    def fit(
        self,
        protocol: Protocol,
        targets: tuple[str, ...] | None = None,
        *,
        alone: bool = False,
        progress: bool = False,
        report: Callable[[str, Recommender], None] = lambda market, model: None,
    ) -> dict[str, Recommender]:
        """Fit the run's model for targets under a protocol, reusing all that is finished.

        Parameters
        ----------
        protocol : Protocol
            How to split; results lie in a folder of its own.
        targets : tuple of str, optional
            Only these of the run's targets.
        alone : bool
            Learn each target from nothing but itself, to see what the other markets are worth.
        progress : bool
            Show progress bars on a terminal.
        report : callable
            Called with each market and its fitted model.
        """
        folder = self.path / protocol.fit_label
        with locked(self.path):
            remove_temporaries(self.path)
            split = self.split(protocol)
            if not is_split(folder / "split"):
                write_split(split, self.data, folder / "split")
            keep_candidates(protocol, split, folder / "candidates.parquet")
            options = RunOptions(
                seed=self.settings.seed,
                threads=self.settings.threads,
                device=self.settings.device,
                progress=progress,
                workspace=stage_folder(
                    folder / ("stages-alone" if alone else "stages"), self.settings.model
                ),
                checkpoint_seconds=checkpoint_seconds(),
                memory=self._memory,
            )
            model_class = find_model(self.settings.model)
            models = {}
            for target in self.settings.targets if targets is None else targets:
                models[target] = fit_target(
                    lambda: model_class.from_config(self.settings.config, options=options),
                    protocol,
                    split.select_markets([target]) if alone else split,
                    target,
                    source_split=self.settings.source_split,
                    everything=self.data.dataset,
                )
                report(target, models[target])
            if targets is None and not alone:
                trainable = {name: model.num_trainable() for name, model in models.items()}
                write_json(folder / "fit.json", {"trainable": trainable, "counts": split.counts()})
        return models

    def evaluate(
        self,
        protocol: Protocol,
        models: Mapping[str, Recommender] | None = None,
        *,
        alone: bool = False,
        progress: bool = False,
    ) -> dict[str, Any]:
        """Evaluate every target on the test part and keep the result beside the models.

        Models that the protocol needs and the run lacks are fitted first.

        Parameters
        ----------
        protocol : Protocol
            How to split and rank.
        models : mapping of market to Recommender, optional
            What `fit` gave under the protocol.
        alone : bool
            Also learn each target from nothing but itself and rank the same candidates; the
            result then has the same means under `alone`. Measured once, it stays in the result.
        progress : bool
            Show progress bars on a terminal.
        """
        fitted = self.fit(protocol, progress=progress) if models is None else models
        split = self.split(protocol)

        def ranked(models: Mapping[str, Recommender]) -> list[MarketEvaluation]:
            return [evaluate_market(one, protocol, split, name) for name, one in models.items()]

        folder = self.path / protocol.fit_label
        stem = protocol.evaluation_label
        alone = alone or (folder / f"{stem}-alone.parquet").is_file()
        parts = ranked(fitted)
        others = ranked(self.fit(protocol, alone=True, progress=progress)) if alone else []
        result = {
            "protocol": protocol.label,
            "seed": self.settings.seed,
            **summarise(parts),
            "model": self.settings.model,
            "config": self.settings.config,
            "trainable": {name: model.num_trainable() for name, model in fitted.items()},
            "candidates": protocol.candidates_hash(split),
            "data": self.data.dataset.fingerprint,
            "versions": versions(self.settings.model),
            "commit": commit(),
            **({"alone": summarise(others)} if others else {}),
        }
        tables = {
            f"{stem}-hits": [part.hits for part in parts],
            f"{stem}-alone": [part.per_user for part in others],
            stem: [part.per_user for part in parts],
        }
        for name, frames in tables.items():
            if frames:
                write_atomically(folder / f"{name}.parquet", pl.concat(frames).write_parquet)
        write_json(folder / f"{stem}.json", result)
        return result

    def recommender(self, market: str) -> Recommender:
        """The fitted model of a target, scoring from everything known of its users.

        Held-out interactions are kept from learning but not from today's lists: they are what
        the users did last, and must not be recommended again.
        """
        if market not in self.settings.targets:
            self.data.dataset.require_market(market)
            known = ", ".join(self.settings.targets)
            raise UsageError(f"this run was not fitted for market {market!r}; it has: {known}")
        model = self.fit(self.settings.protocol, (market,))[market]
        return model.set_history(self.data.dataset)


def resolve_settings(
    model: str,
    preset: str | None,
    overrides: Mapping[str, Any],
    **others: Any,
) -> RunSettings:
    """Settings of a run with the model's whole configuration written out."""
    config = build_model(model, preset, overrides).get_config()
    return RunSettings(model=model, config=config, **others)


def restrict(data: ReadResult, markets: Iterable[str]) -> ReadResult:
    """Keep some markets of what was read; the row accounting stays that of the whole read."""
    names = list(markets)

    def keep(part: MarketDataset) -> MarketDataset:
        return part.select_markets(names).drop_unsold_items()

    kept = {name: keep(part) for name, part in (data.parts or {}).items()}
    parts = {name: part for name, part in kept.items() if part.num_interactions}
    return replace(data, dataset=keep(data.dataset), parts=parts or None)


def _require_device(name: str) -> None:
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"torch cannot compute on {name!r} here; choose cpu, or cuda with a GPU"
        ) from error
