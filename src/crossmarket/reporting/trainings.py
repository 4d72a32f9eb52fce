"""Trainings as their stages left them on disk."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from crossmarket.errors import DataError
from crossmarket.files import read_json
from crossmarket.training.loop import SELECTION_METRIC
from crossmarket.training.stage import verified_record


@dataclass(frozen=True)
class Training:
    """One finished training stage.

    Attributes
    ----------
    kind : str
        What was trained: `backbone`, `uk-prompts` ...
    title : str
        The kind, with a piece of the stage's hash where several stages share it.
    folder : Path
        Where it lies.
    market : str or None
        Target that it is for; None where all targets share it.
    validated : bool
        Whether a validation part chose its best epoch.
    history : tuple of dict
        One record an epoch from 0, as `TrainedState.history`.
    best_epoch : int
        Epoch whose parameters were kept.
    epochs_allowed : int or None
        Most epochs that its settings allow, where they say so.
    seconds : tuple of float
        Wall time of the epochs that were timed.
    scalars, size : int
        Numbers in its file of tensors, and bytes of that file.
    """

    kind: str
    title: str
    folder: Path
    market: str | None
    validated: bool
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    epochs_allowed: int | None
    seconds: tuple[float, ...]
    scalars: int
    size: int

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Epochs at which something was recorded, and its values."""
        found = [(row["epoch"], row[name]) for row in self.history if name in row]
        return [epoch for epoch, _ in found], [value for _, value in found]

    @property
    def best_value(self) -> float | None:
        """Validation NDCG@10 of the epoch that was kept."""
        return next(
            (row.get(SELECTION_METRIC) for row in self.history if row["epoch"] == self.best_epoch),
            None,
        )

    @property
    def seconds_an_epoch(self) -> float | None:
        """Mean wall time of an epoch in seconds, validation included."""
        return sum(self.seconds) / len(self.seconds) if self.seconds else None

    @property
    def still_rising(self) -> bool:
        """Whether the last epoch that was allowed is the best one."""
        return self.validated and self.best_epoch == self.epochs_allowed


def read_trainings(folder: Path, targets: Sequence[str]) -> tuple[Training, ...]:
    """Read the finished stages below a folder: shared ones first, then by target.

    Raises
    ------
    DataError
        If a stage is not what was written.
    """
    files = sorted(folder.glob("**/stage.json"))
    records = {file.parent: verified_record(file.parent) for file in files}
    kinds = [record["key"]["kind"] for record in records.values()]
    found = [
        _training(own, record, targets, alone=kinds.count(record["key"]["kind"]) == 1)
        for own, record in records.items()
    ]
    order = {market: place for place, market in enumerate(targets)}
    return tuple(
        sorted(found, key=lambda one: (order.get(one.market or "", -1), one.kind, one.title))
    )


def _training(
    folder: Path, record: dict[str, Any], targets: Sequence[str], *, alone: bool
) -> Training:
    key = record["key"]
    kind = key["kind"]
    # The longest name wins, so that market `uk-north` is not taken for `uk`.
    owners = [market for market in targets if kind.startswith(f"{market}-")]
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    history = tuple(json.loads(line) for line in lines)
    file = folder / "model.safetensors"
    return Training(
        kind=kind,
        title=kind if alone else f"{kind} ({folder.name[-6:]})",
        folder=folder,
        market=max(owners, key=len, default=None),
        validated=any(SELECTION_METRIC in row for row in history),
        history=history,
        best_epoch=record["best_epoch"],
        epochs_allowed=(key.get("config") or {}).get("epochs"),
        seconds=_seconds(folder),
        scalars=_scalars(file),
        size=file.stat().st_size,
    )


def _seconds(folder: Path) -> tuple[float, ...]:
    try:
        return tuple(read_json(folder / "timing.json")["seconds_per_epoch"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()  # times are told where they are known; no number depends on them


def _scalars(file: Path) -> int:
    try:
        with safe_open(file, framework="np") as handle:
            shapes = [handle.get_slice(name).get_shape() for name in handle.keys()]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DataError(f"{file} cannot be read; remove its folder to train it again") from error
    total = 0
    for shape in shapes:
        count = 1
        for length in shape:
            count *= length
        total += count
    return total
