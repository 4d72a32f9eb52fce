"""Many systems, several seeds, one protocol: one honest table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.data.readers import ReadResult, read_data
from crossmarket.data.splits import Split
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import METRICS, evaluate_market, summarise
from crossmarket.experiments.candidates import keep_candidates
from crossmarket.experiments.experiment import Experiment, load_experiment
from crossmarket.experiments.fitting import checkpoint_seconds, fit_target, stage_folder
from crossmarket.experiments.kept import read_kept_record
from crossmarket.experiments.locking import locked
from crossmarket.experiments.provenance import commit, versions
from crossmarket.experiments.shared_rows import has_values, read_values, write_values
from crossmarket.experiments.systems import SystemConfig
from crossmarket.files import content_hash, remove_temporaries, write_json
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions

#: Tables of a result beside its record, with the columns that name their rows.
ROW_KEYS = {"per_user": ("market", "user_id"), "hits": ("market", "user_id", "item_id")}


class Comparison:
    """Runs an experiment into a folder, one cached result for each system and seed.

    Parameters
    ----------
    experiment : Experiment
        What to compare.
    folder : Path
        Results lie in `folder/results`, ids of their rows in `folder/rows`, trained stages in
        `folder/stages`.
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
        self.targets = experiment.markets(data.dataset)
        self.metrics = tuple(dict.fromkeys([*experiment.metrics, *METRICS]))
        self._latest: tuple[Split, str] | None = None

    def run(
        self, report: Callable[[str, int, dict[str, Any]], None] = lambda title, seed, row: None
    ) -> tuple[list[dict[str, Any]], pl.DataFrame]:
        """Compute what is missing, seed by seed.

        Returns
        -------
        One record for each system and seed, and all per-user values: `system, seed, market,
        user_id` and a column for each metric.
        """
        records, frames = [], []
        for record, per_user in self._results("per_user"):
            records.append(record)
            frames.append(per_user)
            report(record["title"], record["seed"], record)
        shown = ["system", "seed", *ROW_KEYS["per_user"], *self.metrics]
        return records, pl.concat([frame.select(shown) for frame in frames])

    def split(self, seed: int) -> Split:
        """The protocol's split of the data for a seed, checked for leaks."""
        split = self.experiment.protocol.split(self.data, seed)
        self.experiment.protocol.require_sound(split)
        return split

    def fit(
        self,
        system: SystemConfig,
        split: Split,
        target: str,
        memory: dict[str, Any] | None = None,
    ) -> Recommender:
        """Fit a system for a target; trained stages are reused and kept.

        Parameters
        ----------
        split : Split
            The protocol's; the seed of the training is the split's.
        memory : dict, optional
            Shared by fits that have stages in common, so that these are read once.
        """
        options = RunOptions(
            seed=split.seed,
            threads=self.experiment.threads,
            progress=self.progress,
            workspace=stage_folder(self.stages, system.model),
            checkpoint_seconds=checkpoint_seconds(),
            memory={} if memory is None else memory,
        )
        return fit_target(
            lambda: build_model(system.model, system.preset, system.config, options),
            self.experiment.protocol,
            split,
            target,
            source_split=system.source_split,
            everything=self.data.dataset,
        )

    def _ground(self, seed: int) -> tuple[Split, str]:
        """The split of a seed and the hash of its candidates, which are stored."""
        if self._latest is None or self._latest[0].seed != seed:
            protocol, split = self.experiment.protocol, self.split(seed)
            name = f"{protocol.fit_label}-{seed}.parquet"
            keep_candidates(protocol, split, self.folder / "candidates" / name)
            self._latest = split, protocol.candidates_hash(split)
        return self._latest

    def is_done(self, system: SystemConfig, seed: int, table: str = "per_user") -> bool:
        """Whether the result of a system and seed is in the folder already."""
        return self._known(self._key(system, seed), table) is not None

    @contextmanager
    def _at_work(self, table: str) -> Iterator[None]:
        """Keep others out of the folder, unless there is nothing to do but read."""
        pairs = product(self.experiment.systems, self.experiment.seeds)
        if all(self.is_done(system, seed, table) for system, seed in pairs):
            if any(self.folder.rglob(".*.tmp")):
                # Left by a kill while the tables were written; one who holds the lock tidies up.
                with suppress(UsageError), locked(self.folder):
                    remove_temporaries(self.folder)
            yield
            return
        with locked(self.folder):
            remove_temporaries(self.folder)
            yield

    def hits(self) -> pl.DataFrame:
        """Where each held-out interaction came in the lists, computed where it is missing.

        Returns
        -------
        `system, seed` and the columns of `MarketEvaluation.hits`.
        """
        return pl.concat([hits for _, hits in self._results("hits")])

    def _results(self, table: str) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
        """Each record with one of its tables, `system` and `seed` before it, seed by seed."""
        with self._at_work(table):
            for seed in self.experiment.seeds:
                memory: dict[str, Any] = {}
                for system in self.experiment.systems:
                    record, values = self._result(system, seed, memory, table)
                    keys = [pl.lit(system.title).alias("system"), pl.lit(seed).alias("seed")]
                    yield record, values.select(*keys, pl.all())

    def _key(self, system: SystemConfig, seed: int) -> dict[str, Any]:
        """Everything that a result depends on."""
        model = build_model(system.model, system.preset, system.config)
        return {
            "data": self.data.dataset.fingerprint,
            "targets": list(self.targets),
            "protocol": self.experiment.protocol.key,
            "metrics": sorted(self.metrics),
            "seed": seed,
            "threads": self.experiment.threads,
            "model": system.model,
            "config": model.get_config(),
            "source_split": system.source_split,
            "versions": versions(system.model),
        }

    def _place(self, key: dict[str, Any]) -> Path:
        """Path of a result's files, without suffix."""
        return self.folder / "results" / content_hash(key)[:16]

    def _result(
        self, system: SystemConfig, seed: int, memory: dict[str, Any], table: str
    ) -> tuple[dict[str, Any], pl.DataFrame]:
        """A record and one of its tables, computed if either is missing."""
        key = self._key(system, seed)
        record = self._known(key, table)
        if record is None:
            self._compute(system, seed, memory)
            record = read_kept_record(self._place(key).with_suffix(".json"))
        file = self._place(key).with_suffix(f".{table}.parquet")
        values = read_values(record["rows"][table], file, self.folder / "rows")
        return {**record, "title": system.title}, values

    def _known(self, key: dict[str, Any], table: str) -> dict[str, Any] | None:
        """The record of a result, if it and one of its tables are there."""
        place = self._place(key)
        if not place.with_suffix(".json").is_file():
            return None
        record = read_kept_record(place.with_suffix(".json"))
        file, name = place.with_suffix(f".{table}.parquet"), record.get("rows", {}).get(table)
        return record if has_values(name, file, self.folder / "rows") else None

    def _compute(self, system: SystemConfig, seed: int, memory: dict[str, Any]) -> None:
        """Fit, evaluate and keep the result; the record is written last."""
        protocol, key = self.experiment.protocol, self._key(system, seed)
        split, candidates = self._ground(seed)
        parts, trainable = [], {}
        for target in self.targets:
            model = self.fit(system, split, target, memory)
            parts.append(evaluate_market(model, protocol, split, target, self.metrics))
            trainable[target] = model.num_trainable()
        record = {
            **summarise(parts, self.metrics),
            "seed": seed,
            "trainable": trainable,
            "candidates": candidates,
            "key": key,
            "commit": commit(),
            "rows": {},
        }
        place, rows = self._place(key), self.folder / "rows"
        for name, keys in ROW_KEYS.items():
            table = pl.concat([getattr(part, name) for part in parts])
            file = place.with_suffix(f".{name}.parquet")
            record["rows"][name] = write_values(table, keys, file, rows)
        write_json(place.with_suffix(".json"), record)


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
