"""The trials of one system, and their file."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from crossmarket.errors import CrossmarketError, LeakError, UsageError
from crossmarket.experiments.kept import read_kept_record
from crossmarket.experiments.provenance import commit, versions
from crossmarket.experiments.systems import SystemConfig, with_settings
from crossmarket.experiments.tuning.bench import Bench
from crossmarket.experiments.tuning.space import (
    STARTUP_TRIALS,
    current_settings,
    find_space,
    propose,
)
from crossmarket.files import write_json
from crossmarket.training.loop import SELECTION_METRIC

#: Is told the title of a system and the record of each trial that ends.
Report = Callable[[str, dict[str, Any]], None]


class Search:
    """The trials of one system, kept in a file as they end.

    Parameters
    ----------
    bench : Bench
        What measures a trial.
    system : SystemConfig
        What is tuned.
    folder : Path
        Gets the file, and trained stages until the last trial has ended.

    Raises
    ------
    UsageError
        If the file was made by another plan, from other data or by other versions.
    """

    def __init__(self, bench: Bench, system: SystemConfig, folder: Path) -> None:
        self.bench, self.system = bench, system
        self.space = find_space(system.title)
        self.stages = folder / file_name(system.title)
        self.file = folder / f"{self.stages.name}.json"
        self.first, self.now = self.stages / "first", self.stages / "now"
        plan = bench.plan
        key = {
            "data": bench.fingerprint,
            "targets": list(bench.targets),
            "protocol": bench.protocol.key,
            "seed": plan.seed,
            "threads": plan.threads,
            "budget": {"trials": plan.trials, "seconds": plan.seconds},
            "system": system.model_dump(mode="json"),
            "space": {name: part.model_dump(mode="json") for name, part in self.space.items()},
            "sampler": {"name": "TPE", "startup_trials": STARTUP_TRIALS},
            "versions": {**versions(system.model), "optuna": version("optuna")},
        }
        self.trials: list[dict[str, Any]] = []
        self.stopped_by: str | None = None
        self.key = key
        if self.file.is_file():
            stored = read_kept_record(self.file)
            if stored["key"] != key:
                changed = [name for name in key if stored["key"].get(name) != key[name]]
                raise UsageError(
                    f"{self.file} was tuned with other {' and '.join(changed)}; "
                    "choose another folder, all systems need the same"
                )
            self.trials, self.stopped_by = stored["trials"], stored["stopped_by"]

    @property
    def best(self) -> dict[str, Any] | None:
        """The first of the best trials; None where all failed."""
        ended = [trial for trial in self.trials if trial["value"] is not None]
        return max(ended, key=lambda trial: float(trial["value"]), default=None)

    @property
    def tuned(self) -> SystemConfig | None:
        """The system with the best settings."""
        return with_settings(self.system, self.best["settings"]) if self.best else None

    @property
    def record(self) -> dict[str, Any]:
        """All there is to know, JSON-able."""
        best, tuned = self.best, self.tuned
        return {
            "title": self.system.title,
            "metric": f"validation {SELECTION_METRIC}, mean over targets",
            "key": self.key,
            "trials": self.trials,
            "seconds": self.seconds,
            "stopped_by": self.stopped_by,
            "default": self.trials[0]["value"] if self.trials else None,
            "best": None
            if best is None or tuned is None
            else {name: best[name] for name in ("number", "value", "settings")}
            | {"config": tuned.config},
            "commit": commit(),
        }

    @property
    def seconds(self) -> float:
        """CPU time of the trials that ended."""
        return float(sum(trial["seconds"] for trial in self.trials))

    def run(self, report: Report) -> None:
        """Add the trials that are missing."""
        while self.stopped_by is None:
            settings = self._next()
            if settings is not None:
                self.trials.append(self._trial(settings))
            write_json(self.file, self.record)
            if settings is not None:
                report(self.system.title, self.trials[-1])
        shutil.rmtree(self.stages, ignore_errors=True)

    def _next(self) -> dict[str, Any] | None:
        """Settings of the next trial; None, and the reason kept, where there is none."""
        plan = self.bench.plan
        if not self.trials:
            return current_settings(self.system, self.space)
        if len(self.trials) >= plan.trials:
            self.stopped_by = "trials"
        elif self.seconds >= plan.seconds:
            self.stopped_by = "seconds"
        else:
            told = [(trial["settings"], trial["value"]) for trial in self.trials]
            found = propose(self.space, told, plan.seed)
            if found is not None:
                return found
            self.stopped_by = "space"
        return None

    def _trial(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Fit and evaluate the system with some settings."""
        is_first = not self.trials
        self._begin(is_first)
        started = time.process_time()
        markets, value, error = {}, None, None
        try:
            markets = self.bench.measure(with_settings(self.system, settings), self.now)
            value = float(np.mean(list(markets.values())))
        except (UsageError, LeakError):
            raise
        except CrossmarketError as failure:  # diverged, say
            error = str(failure)
        seconds = time.process_time() - started
        if is_first and self.now.is_dir():
            self.now.rename(self.first)
        return {
            "number": len(self.trials),
            "settings": settings,
            "value": value,
            "markets": markets,
            "error": error,
            "seconds": round(seconds, 3),
        }

    def _begin(self, is_first: bool) -> None:
        """Make room for a trial: it starts with the stages of the first one and no others."""
        if is_first:
            shutil.rmtree(self.stages, ignore_errors=True)
        shutil.rmtree(self.now, ignore_errors=True)
        if self.first.is_dir():
            shutil.copytree(self.first, self.now)


def file_name(title: str) -> str:
    """A system's title as the name of a file, without suffix; distinct titles stay distinct."""
    spelt = title.lower().replace("+", "-plus")
    return re.sub(r"[^a-z0-9]+", "-", spelt).strip("-")
