"""Training a torch module as a stage of the one loop: shared by every neural system."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from crossmarket.data.dataset import MarketDataset
from crossmarket.models.config import TrainingConfig
from crossmarket.models.tables import tensor_hash
from crossmarket.models.validation import MarketScores, Validation
from crossmarket.training.loop import train
from crossmarket.training.options import RunOptions
from crossmarket.training.stage import Stage, TrainedState

N = TypeVar("N", bound=nn.Module)
_N_co = TypeVar("_N_co", bound=nn.Module, covariant=True)


class NetworkConfig(TrainingConfig):
    """Settings that every neural system has."""

    reg: float = Field(0.0, ge=0, description="L2 penalty: weight decay of Adam. Source: none; 0.")
    batch_size: int = Field(1024, ge=1, description="Examples of a step. Source: FOREC, 1024.")
    validation_users: int | None = Field(
        None,
        ge=1,
        description="Users of a market that validation looks at; all by default. Source: ours.",
    )


@dataclass(frozen=True)
class FittedNetwork(Generic[_N_co]):
    """A trained module in its best state, in evaluation mode.

    Attributes
    ----------
    network : nn.Module
        The module.
    stage_hash : str
        Content address of the training that made it.
    trained : TrainedState
        History and best epoch.
    """

    network: _N_co
    stage_hash: str
    trained: TrainedState


class NetworkTask:
    """Training of the parameters of a module that require gradients; the others are frozen.

    Parameters
    ----------
    network : nn.Module
        The module; in training mode during a step, in evaluation mode otherwise.
    batches : callable
        Takes a generator, yields the steps of an epoch.
    losses : callable
        Takes a step, returns scalars; `loss` is minimised.
    validation : Validation or None
        What early stopping looks at.
    score : callable
        Scores of the network in its current state.
    """

    def __init__(
        self,
        network: nn.Module,
        batches: Callable[[np.random.Generator], Iterator[Any]],
        losses: Callable[[Any], dict[str, Tensor]],
        validation: Validation | None,
        score: MarketScores,
    ) -> None:
        self.network, self._batches, self._losses = network, batches, losses
        self.validation, self.score = validation, score

    def parameters(self) -> dict[str, Tensor]:
        """Parameters that are not frozen, by name."""
        named = self.network.named_parameters()
        return {name: tensor for name, tensor in named if tensor.requires_grad}

    def batches(self, generator: np.random.Generator) -> Iterator[Any]:
        """Steps of an epoch; dropout follows the epoch's generator, too."""
        torch.manual_seed(int(generator.integers(2**63)))
        self.network.train()
        yield from self._batches(generator)
        self.network.eval()

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Loss terms of a step."""
        return self._losses(batch)

    def validate(self) -> dict[str, float]:
        """Validation metrics of the current state."""
        if self.validation is None:
            return {}
        self.network.eval()
        return self.validation.evaluate(self.score)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from torch's generator as `seed` says inside a `with` block, restore it after."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def fit_network(
    network: N,
    config: TrainingConfig,
    options: RunOptions,
    *,
    kind: str,
    inputs: Mapping[str, Any],
    make_task: Callable[[N], NetworkTask],
    weight_decay: float = 0.0,
) -> FittedNetwork[N]:
    """Train a module, or take the finished training from memory or the workspace.

    Parameters
    ----------
    network : nn.Module
        In its initial state, on the device; trained in place. Frozen parameters stay as they are.
    config : TrainingConfig
        Schedule; the whole config enters the stage's address.
    options : RunOptions
        Seed, threads, workspace.
    kind : str
        Name of the stage, e.g. `uk-nmf`.
    inputs : mapping
        What else shapes the training, JSON-able: see `data_key`.
    make_task : callable
        Builds the training; called only where there is something to train or to load.
    weight_decay : float
        L2 penalty of every trained parameter.
    """
    key = {
        "inputs": dict(inputs),
        "config": config.model_dump(mode="json"),
        "network": type(network).__name__,
        "start": state_hash(network),
        "weight_decay": weight_decay,
        "seed": options.seed,
        "threads": options.threads,
        "device": options.device,
    }
    stage = Stage(options.workspace, kind, key)
    memory = options.memory.get(stage.hash)
    if isinstance(memory, FittedNetwork):
        return cast(FittedNetwork[N], memory)
    schedule = config.schedule(weight_decay)
    with torch.random.fork_rng(devices=[]):
        state = train(make_task(network), schedule, options, stage)
    network.eval()
    fitted = FittedNetwork(network, stage.hash, state)
    options.memory[stage.hash] = fitted
    return fitted


def stage_kind(markets: Sequence[str], name: str) -> str:
    """Name of a stage: the market it is for, or `all`, and what is trained."""
    return f"{markets[0] if len(markets) == 1 else 'all'}-{name}"


def data_key(
    train_part: MarketDataset,
    valid: MarketDataset | None,
    markets: Sequence[str],
    judged: Sequence[str] | None = None,
) -> dict[str, Any]:
    """What a training reads: fingerprints of the learned markets and of the validated ones."""
    looked_at = list(markets if judged is None else judged)
    return {
        "train": train_part.select_markets(markets).fingerprint,
        "valid": None if valid is None else valid.select_markets(looked_at).fingerprint,
        "judged": looked_at,
    }


def state_hash(network: nn.Module) -> str:
    """SHA-256 (hex) of every parameter and buffer of a module, and of what is frozen."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict(keep_vars=True).items():
        digest.update(f"{name} {tensor.requires_grad} {tensor_hash(tensor)}".encode())
    return digest.hexdigest()


C = TypeVar("C", bound=TrainingConfig)


def settle(config: C, fitted: FittedNetwork[Any] | None, **stages: FittedNetwork[Any] | None) -> C:
    """A config whose epochs, and those of the configs in it, are what validation chose.

    Parameters
    ----------
    config : TrainingConfig
        Settings of the last stage.
    fitted : FittedNetwork or None
        That stage; None leaves its epochs as they are.
    **stages : FittedNetwork or None
        Earlier stages by the name of the field that holds their settings.
    """
    changes: dict[str, Any] = {
        name: settle(getattr(config, name), stage)
        for name, stage in stages.items()
        if stage is not None
    }
    if fitted is not None:
        changes["epochs"] = fitted.trained.best_epoch
    return config.model_copy(update=changes)


def stage_config(kind: type[C], whole: TrainingConfig, schedule: TrainingConfig) -> C:
    """Settings of an earlier stage: those of the whole system, on a schedule of its own."""
    shared = whole.model_dump(include=set(kind.model_fields))
    return kind.model_validate({**shared, **schedule.model_dump()})


def freeze(*parts: nn.Module | nn.Parameter) -> None:
    """Exclude modules and parameters from training."""
    for part in parts:
        part.requires_grad_(False)


def count_trainable(network: nn.Module) -> int:
    """Number of scalars of a module that are not frozen."""
    return sum(tensor.numel() for tensor in network.parameters() if tensor.requires_grad)
