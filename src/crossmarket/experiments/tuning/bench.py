"""What every trial of every system is measured on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from crossmarket.data.readers import ReadResult
from crossmarket.errors import DataError
from crossmarket.experiments.fitting import fit_target
from crossmarket.experiments.systems import SystemConfig
from crossmarket.experiments.tuning.plan import TuningPlan
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model
from crossmarket.models.validation import Validation
from crossmarket.training.loop import SELECTION_METRIC
from crossmarket.training.options import RunOptions


class Bench:
    """Measures systems on the validation part; the test part is taken away at the start.

    Parameters
    ----------
    plan : TuningPlan
        Its targets, seed and protocol apply. A last fit on training + validation does not:
        validation would be learned from.
    data : ReadResult
        The plan's data.
    progress : bool
        Show progress bars on a terminal.

    Raises
    ------
    DataError
        If a target has no user with both training and validation interactions.
    """

    def __init__(self, plan: TuningPlan, data: ReadResult, progress: bool) -> None:
        self.plan, self.progress = plan, progress
        self.fingerprint = data.dataset.fingerprint
        self.targets = plan.markets(data.dataset)
        self.protocol = plan.protocol.model_copy(update={"refit": False, "history": "train"})
        split = self.protocol.split(data, plan.seed)
        self.protocol.require_sound(split)
        nothing = {
            market: split.test.edges(market).select(slice(0, 0)) for market in split.test.markets
        }
        self.split = replace(split, test=split.test.replace_edges(nothing))
        for target in self.targets:
            if self._value(target, _indifferent) is None:
                raise DataError(
                    f"market {target!r} has no user with training and validation interactions; "
                    "leave it out of the targets"
                )

    def measure(self, system: SystemConfig, workspace: Path) -> dict[str, float]:
        """Fit a system for each target and look at it as early stopping does.

        Parameters
        ----------
        system : SystemConfig
            What to fit.
        workspace : Path
            Folder of its trained stages.

        Returns
        -------
        Validation NDCG@10 by target, training interactions masked.
        """
        plan = self.plan
        options = RunOptions(
            seed=plan.seed,
            threads=plan.threads,
            progress=self.progress,
            workspace=workspace,
            checkpoint_seconds=float("inf"),
        )

        def build() -> Recommender:
            return build_model(system.model, system.preset, system.config, options)

        values = {}
        for target in self.targets:
            model = fit_target(
                build, self.protocol, self.split, target, source_split=system.source_split
            )
            value = self._value(target, model.score)
            assert value is not None
            values[target] = value
        return values

    def _value(self, target: str, score: Callable[[Rows, Rows], FloatMatrix]) -> float | None:
        own = self.protocol.for_target(self.split, target)
        validation = Validation(own.train, own.valid, [target])
        found = validation.evaluate(lambda market, users, items: score(users, items))
        return found.get(SELECTION_METRIC)


def _indifferent(users: Rows, items: Rows) -> FloatMatrix:
    return np.zeros((len(users), len(items)), dtype=np.float32)
