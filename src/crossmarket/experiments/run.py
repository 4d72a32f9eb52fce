"""A run folder: one model fitted for some targets, ready to be evaluated and to recommend.

RUN/
  run.json                     settings, data fingerprint, versions
  data/                        the interactions, as a store, with their row accounting
  PROTOCOL/split/              the parts that the protocol cut, as a store
  PROTOCOL/stages/KIND-HASH/   trained tensors, histories, checkpoints of interrupted training
  PROTOCOL/fit.json            what was fitted: trainable scalars and stages of each target
  PROTOCOL/evaluation*.json    results, with per-user values beside them
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.readers import ReadResult, read_data
from crossmarket.data.splits import Split, given_split
from crossmarket.data.store import write_store
from crossmarket.errors import DataError, UsageError
from crossmarket.evaluation.evaluator import evaluate_market, summarise
from crossmarket.evaluation.leak import assert_no_leak
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.fitting import SourceSplit, fit_target
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import read_json, remove_temporaries, write_atomically, write_json
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model, find_model
from crossmarket.training.options import RunOptions

RUN_FILE = "run.json"
_FORMAT = 1


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

    @classmethod
    def create(cls, path: Path, settings: RunSettings, data: ReadResult) -> Self:
        """Start a run, or come back to the same one.

        Raises
        ------
        UsageError
            If the folder holds something else, or a run of other data or settings; the message
            names what differs.
        """
        record = {
            "format": _FORMAT,
            "settings": settings.model_dump(mode="json"),
            "data": data.dataset.fingerprint,
            "versions": versions(),
        }
        if (path / RUN_FILE).is_file():
            _require_same(path, _load_record(path), record)
            return cls.open(path)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            leftovers = {child.name for child in path.iterdir()} if path.is_dir() else {""}
            if not leftovers <= {"data", ".lock"} and not _only_temporaries(leftovers):
                raise UsageError(f"{path} holds something else; choose a new folder for the run")
        with _locked(path):
            write_store(data, path / "data")
            write_json(path / RUN_FILE, record)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open an existing run; its data are verified.

        Raises
        ------
        UsageError
            If the folder is no run.
        """
        record = _load_record(path)
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
            raise UsageError(f"protocol {name!r}: {error.errors()[0]['msg'].lower()}") from error

    def split(self, protocol: Protocol) -> Split:
        """The protocol's split of the run's data, checked for leaks."""
        split = protocol.split(self.data, self.settings.seed)
        assert_no_leak(split)
        return split

    def fit(
        self,
        protocol: Protocol,
        targets: tuple[str, ...] | None = None,
        *,
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
        progress : bool
            Show progress bars on a terminal.
        report : callable
            Called with each market and its fitted model.
        """
        folder = self.path / protocol.fit_label
        with _locked(self.path):
            remove_temporaries(self.path)
            split = self.split(protocol)
            _store_split(folder / "split", split, self.data)
            options = RunOptions(
                seed=self.settings.seed,
                threads=self.settings.threads,
                device=self.settings.device,
                progress=progress,
                workspace=folder / "stages",
                memory=self._memory,
            )
            model_class = find_model(self.settings.model)
            models = {}
            for target in self.settings.targets if targets is None else targets:
                models[target] = fit_target(
                    lambda: model_class.from_config(self.settings.config, options=options),
                    protocol,
                    split,
                    target,
                    source_split=self.settings.source_split,
                    everything=self.data.dataset,
                )
                report(target, models[target])
            if targets is None:
                trainable = {name: model.num_trainable() for name, model in models.items()}
                write_json(folder / "fit.json", {"trainable": trainable, "counts": split.counts()})
        return models

    def evaluate(
        self,
        protocol: Protocol,
        models: Mapping[str, Recommender] | None = None,
        *,
        progress: bool = False,
    ) -> dict[str, Any]:
        """Evaluate every target on the test part and keep the result beside the models.

        Models that the protocol needs and the run lacks are fitted first.
        """
        fitted = self.fit(protocol, progress=progress) if models is None else models
        split = self.split(protocol)
        parts = [
            evaluate_market(model, protocol, split, target) for target, model in fitted.items()
        ]
        result = {
            "protocol": protocol.label,
            "seed": self.settings.seed,
            **summarise(parts),
            "model": self.settings.model,
            "config": self.settings.config,
            "trainable": {name: model.num_trainable() for name, model in fitted.items()},
            "candidates": protocol.candidates_hash(split),
            "data": self.data.dataset.fingerprint,
            "versions": versions(),
            "commit": commit(),
        }
        folder = self.path / protocol.fit_label
        name = "evaluation" + ("" if protocol.history == "train" else f"-{protocol.history}")
        per_user = pl.concat([part.per_user for part in parts])
        write_atomically(folder / f"{name}.parquet", per_user.write_parquet)
        write_json(folder / f"{name}.json", result)
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

    parts = data.parts and {name: keep(part) for name, part in data.parts.items()}
    return replace(data, dataset=keep(data.dataset), parts=parts)


def _store_split(folder: Path, split: Split, data: ReadResult) -> None:
    if (folder / "data.json").is_file():
        return
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    write_store(replace(data, parts=parts), folder, extras={"split.json": split.details})


def stored_split(folder: Path) -> Split:
    """Read a split back from the store it was written to."""
    return given_split(read_data(folder, format="store").parts or {})


def _load_record(path: Path) -> dict[str, Any]:
    if not (path / RUN_FILE).is_file():
        raise UsageError(f"{path} is no run; make one with `crossmarket fit --out {path}`")
    record: dict[str, Any] = read_json(path / RUN_FILE)
    if record.get("format") != _FORMAT:
        raise DataError(f"{path} was written by another version; fit it again into a new folder")
    return record


def _require_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    way_out = "choose another folder, or repeat the old command to resume"
    if old["data"] != new["data"]:
        raise UsageError(f"{path} is a run of other data; {way_out}")
    before, after = _flat(old["settings"]), _flat(new["settings"])
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise UsageError(
                f"{path} is a run with {name}={before.get(name)}, not {after.get(name)}; {way_out}"
            )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _only_temporaries(names: set[str]) -> bool:
    return all(name == "data" or name.startswith(".") for name in names)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep a second process from writing to the same run; a killed holder frees it by dying."""
    path.mkdir(parents=True, exist_ok=True)
    with (path / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another process is at work in {path}; wait for it to end") from error
        yield
