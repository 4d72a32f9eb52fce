"""Fitting one model for one target as a protocol allows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.splits import Split
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol, with_validation
from crossmarket.models.base import Recommender
from crossmarket.models.registry import plug_in_versions
from crossmarket.training.options import RunOptions

#: Which interactions of the source markets are learned from.
SourceSplit = Literal["train", "all"]

#: Variable of the environment that says how often a training is saved.
CHECKPOINT_VARIABLE = "CROSSMARKET_CHECKPOINT_SECONDS"


def fit_target(
    build: Callable[[], Recommender],
    protocol: Protocol,
    split: Split,
    target: str,
    *,
    source_split: SourceSplit = "train",
    everything: MarketDataset | None = None,
) -> Recommender:
    """Fit a model for a target; it sees training interactions only.

    Parameters
    ----------
    build : callable
        Makes a fresh, unfitted model.
    protocol : Protocol
        Its launch fraction, refit and history options apply.
    split : Split
        The protocol's split of the data.
    target : str
        Market to recommend in.
    source_split : {"train", "all"}
        Learn from the sources' training parts (one backbone then serves every target), or from
        all their interactions: nobody is evaluated on those when only the target is.
    everything : MarketDataset, optional
        All interactions; needed for `source_split="all"`.

    Returns
    -------
    The fitted model, with the protocol's history set.
    """
    own = _with_sources(protocol.for_target(split, target), target, source_split, everything)
    protocol.require_sound(own)
    model = build().fit(own.train, target=target, valid=own.valid)
    if protocol.refit:
        model = model.settled().fit(own.refit().train, target=target)
    if protocol.history == "train+valid":
        model.set_history(with_validation(own))
    return model


def stage_folder(stages: Path, model: str) -> Path:
    """Where the trained stages of a system lie; each version of a plug-in has a folder of its own.

    Parameters
    ----------
    stages : Path
        Folder of a run's or a comparison's stages; those of built-in systems are shared in it.
    model : str
        Name of the system.
    """
    packages = plug_in_versions([model])
    return stages.joinpath(*(f"{package}-{version}" for package, version in packages.items()))


def checkpoint_seconds() -> float:
    """Least seconds between two checkpoints: `CROSSMARKET_CHECKPOINT_SECONDS`, or 5.

    Raises
    ------
    UsageError
        If the variable of the environment is no number of at least 0.
    """
    text = os.environ.get(CHECKPOINT_VARIABLE, str(RunOptions.checkpoint_seconds))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{CHECKPOINT_VARIABLE}={text!r} is no number of seconds, such as 5")
    return seconds


def _with_sources(
    split: Split, target: str, source_split: SourceSplit, everything: MarketDataset | None
) -> Split:
    if source_split == "train":
        return split
    if "test_from" in split.details:
        raise UsageError("source_split=all would show the sources' future; use train with time")
    if everything is None:
        raise UsageError("source_split=all needs the whole data set")
    sources = [market for market in split.train.markets if market != target]
    whole = {market: everything.edges(market) for market in sources}
    nothing = {market: everything.edges(market).select(slice(0, 0)) for market in sources}
    return replace(
        split,
        train=split.train.replace_edges(whole),
        valid=split.valid.replace_edges(nothing),
        test=split.test.replace_edges(nothing),
    )
