"""The one training loop of backbone, teacher, prompts and baselines."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from crossmarket.errors import CrossmarketError
from crossmarket.training.options import RunOptions
from crossmarket.training.progress import track_epochs
from crossmarket.training.stage import Stage, TrainedState

#: The validation metric that selects the best state everywhere.
SELECTION_METRIC = "ndcg@10"

#: What Adam keeps for each parameter.
_ADAM_STATE = ("step", "exp_avg", "exp_avg_sq")


class Task(Protocol):
    """What the loop needs to know of a thing to train."""

    def parameters(self) -> dict[str, Tensor]:
        """Trainable leaf tensors by name."""

    def batches(self, generator: np.random.Generator) -> Iterator[Any]:
        """Batches of one epoch; every random choice comes from `generator`."""

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Scalars of one batch; `loss` is minimised, the others are reported."""

    def validate(self) -> dict[str, float]:
        """Validation metrics of the current parameters; empty where nothing is held out."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When to step, look and stop.

    Attributes
    ----------
    epochs : int
        Most passes over the training interactions.
    learning_rate : float
        Rate of Adam, constant.
    patience : int
        Evaluations without a better metric after which training stops.
    evaluate_every : int
        Epochs between two evaluations.
    metric : str
        Validation metric that decides; higher is better.
    weight_decay : float
        L2 penalty of every parameter, added to its gradient by Adam.
    """

    epochs: int
    learning_rate: float
    patience: int = 10
    evaluate_every: int = 1
    metric: str = SELECTION_METRIC
    weight_decay: float = 0.0


@dataclass
class _Progress:
    """Where a training stands; all that a checkpoint holds besides the optimiser."""

    epoch: int
    history: list[dict[str, Any]]
    best: dict[str, Tensor]
    best_epoch: int
    best_value: float
    stale: int


def train(task: Task, schedule: Schedule, options: RunOptions, stage: Stage) -> TrainedState:
    """Train `task` and return its best state, resuming or reusing what `stage` holds.

    After each epoch the parameters are usable. The state with the best validation metric is
    returned, the initial one included; where nothing validates, that of the last epoch. The
    generator of an epoch depends on seed, kind of stage and epoch alone, so a training that was
    killed and started again takes the very same steps.

    Parameters
    ----------
    task : Task
        Parameters, batches, losses and validation.
    schedule : Schedule
        Epochs, learning rate, early stopping.
    options : RunOptions
        Seed, threads, progress, checkpoint interval.
    stage : Stage
        Where checkpoints and the result live.

    Raises
    ------
    CrossmarketError
        If the loss is not finite; the newest checkpoint stays.
    """
    parameters = task.parameters()
    if stage.folder is not None:
        options.stages.append(stage.folder)
    done = stage.finished()
    if done is not None:
        _assign(parameters, done.tensors)
        return done
    optimiser = torch.optim.Adam(
        list(parameters.values()),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        foreach=False,
        fused=True,
    )
    progress = _resume(stage, parameters, optimiser) or _start(task, parameters, schedule)
    seconds: list[float] = []
    saved_at = time.monotonic()
    with track_epochs(stage.kind, schedule.epochs, progress.epoch, options.progress) as show:
        while progress.epoch < schedule.epochs and progress.stale < schedule.patience:
            started = time.perf_counter()
            progress.epoch += 1
            generator = epoch_generator(options.seed, stage.kind, progress.epoch)
            record = {"epoch": progress.epoch, **_run_epoch(task, generator, optimiser, stage)}
            last = progress.epoch == schedule.epochs
            if last or progress.epoch % schedule.evaluate_every == 0:
                record |= _evaluate(task, parameters, schedule.metric, progress)
            progress.history.append(record)
            seconds.append(time.perf_counter() - started)
            show(record)
            if time.monotonic() - saved_at >= options.checkpoint_seconds:
                _checkpoint(stage, parameters, optimiser, progress)
                saved_at = time.monotonic()
    result = TrainedState(progress.best, progress.history, progress.best_epoch, seconds)
    _assign(parameters, result.tensors)
    stage.finish(result)
    return result


def epoch_generator(seed: int, kind: str, epoch: int) -> np.random.Generator:
    """Random stream of one epoch of one kind of stage, the same whenever it is reached."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), epoch])


def _run_epoch(
    task: Task, generator: np.random.Generator, optimiser: torch.optim.Adam, stage: Stage
) -> dict[str, float]:
    sums: dict[str, Tensor] = {}
    count = 0
    for batch in task.batches(generator):
        optimiser.zero_grad(set_to_none=True)
        losses = task.losses(batch)
        if not torch.isfinite(losses["loss"]):
            raise CrossmarketError(
                f"the loss of stage {stage.kind!r} is not finite after {count} steps of an epoch; "
                "lower the learning rate"
            )
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros(())) + value.detach().cpu()
        count += 1
    return {name: float(value / count) for name, value in sums.items()}


def _evaluate(
    task: Task, parameters: dict[str, Tensor], metric: str, progress: _Progress
) -> dict[str, float]:
    """Validate, and keep the state if it is the best so far (or the last of an unvalidated run)."""
    metrics = task.validate()
    value = metrics.get(metric)
    if value is None or value > progress.best_value:
        progress.best = {name: tensor.detach().clone() for name, tensor in parameters.items()}
        progress.best_epoch = progress.epoch
        progress.best_value = progress.best_value if value is None else value
        progress.stale = 0
    else:
        progress.stale += 1
    return metrics


def _start(task: Task, parameters: dict[str, Tensor], schedule: Schedule) -> _Progress:
    progress = _Progress(0, [], {}, 0, -np.inf, 0)
    progress.history.append({"epoch": 0, **_evaluate(task, parameters, schedule.metric, progress)})
    return progress


def _assign(parameters: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, tensor in parameters.items():
            tensor.copy_(values[name])


def _checkpoint(
    stage: Stage, parameters: dict[str, Tensor], optimiser: torch.optim.Adam, progress: _Progress
) -> None:
    tensors = {f"best.{name}": tensor for name, tensor in progress.best.items()}
    state = optimiser.state_dict()["state"]
    for index, (name, tensor) in enumerate(parameters.items()):
        tensors[f"now.{name}"] = tensor
        # A parameter that no batch has used yet has no state.
        for part, value in state.get(index, {}).items():
            tensors[f"adam.{name}.{part}"] = value
    facts = {
        "epoch": progress.epoch,
        "history": progress.history,
        "best_epoch": progress.best_epoch,
        "best_value": progress.best_value,
        "stale": progress.stale,
    }
    stage.save_checkpoint(tensors, facts)


def _resume(
    stage: Stage, parameters: dict[str, Tensor], optimiser: torch.optim.Adam
) -> _Progress | None:
    checkpoint = stage.load_checkpoint()
    if checkpoint is None:
        return None
    tensors, facts = checkpoint
    _assign(parameters, {name: tensors[f"now.{name}"] for name in parameters})
    state = optimiser.state_dict()
    for index, name in enumerate(parameters):
        kept = {part: tensors.get(f"adam.{name}.{part}") for part in _ADAM_STATE}
        if kept["step"] is not None:
            state["state"][index] = kept
    optimiser.load_state_dict(state)
    best = {name: tensors[f"best.{name}"] for name in parameters}
    return _Progress(best=best, **facts)
