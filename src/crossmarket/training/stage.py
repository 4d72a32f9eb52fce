"""Training stages on disk: addressed by their content, resumable, never half-written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from crossmarket import __version__
from crossmarket.errors import DataError
from crossmarket.files import (
    content_hash,
    file_hash,
    read_json,
    write_bytes,
    write_json,
    write_text,
)

_FORMAT = 1


@dataclass
class TrainedState:
    """What a training stage leaves behind.

    Attributes
    ----------
    tensors : dict of name to Tensor
        Parameters of the best evaluation (of the last epoch where nothing validates).
    history : list of dict
        One record an epoch: `epoch`, the mean of each loss term, the validation metrics.
    best_epoch : int
        Epoch the tensors come from; 0 is the initial state.
    seconds : list of float
        Wall time of each epoch, evaluation included; empty for epochs read from disk.
    """

    tensors: dict[str, Tensor]
    history: list[dict[str, Any]]
    best_epoch: int
    seconds: list[float] = field(default_factory=list)


class Stage:
    """One training stage: a folder `{kind}-{hash}` whose hash covers everything that shapes it.

    Parameters
    ----------
    workspace : Path or None
        Parent folder; None keeps nothing.
    kind : str
        What is trained, e.g. `backbone`; part of the folder's name.
    key : dict
        JSON-able description of all inputs (data fingerprint, config, seed, threads). Another
        key is another folder, so a changed setting can never resume a foreign checkpoint.
    """

    def __init__(self, workspace: Path | None, kind: str, key: dict[str, Any]) -> None:
        self.kind = kind
        made_by = {"crossmarket": __version__, "torch": torch.__version__}
        self.key = {**key, "kind": kind, "format": _FORMAT, **made_by}
        self.hash = content_hash(self.key)
        self.folder = workspace / f"{kind}-{self.hash[:12]}" if workspace else None

    def finished(self) -> TrainedState | None:
        """The result of an earlier run, verified against its hash; None where there is none."""
        if self.folder is None or not (self.folder / "stage.json").is_file():
            return None
        record = read_json(self.folder / "stage.json")
        model = self.folder / "model.safetensors"
        if record["key"] != self.key or not model.is_file() or file_hash(model) != record["sha256"]:
            raise DataError(
                f"the trained stage in {self.folder} does not match its record; "
                "remove that folder to train it again"
            )
        lines = (self.folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
        return TrainedState(
            load_file(model), [json.loads(line) for line in lines], record["best_epoch"]
        )

    def finish(self, state: TrainedState) -> None:
        """Write the result; `stage.json` comes last and makes it count."""
        if self.folder is None:
            return
        model = self.folder / "model.safetensors"
        save_tensors(model, state.tensors)
        lines = "".join(json.dumps(record) + "\n" for record in state.history)
        write_text(self.folder / "history.jsonl", lines)
        write_json(self.folder / "timing.json", {"seconds_per_epoch": state.seconds})
        record = {
            "key": self.key,
            "sha256": file_hash(model),
            "best_epoch": state.best_epoch,
            "epochs": len(state.history),
        }
        write_json(self.folder / "stage.json", record)
        self._checkpoint.unlink(missing_ok=True)

    @property
    def _checkpoint(self) -> Path:
        assert self.folder is not None
        return self.folder / "checkpoint.safetensors"

    def save_checkpoint(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Replace the checkpoint in one step; tensors and facts share one file."""
        if self.folder is not None:
            save_tensors(self._checkpoint, tensors, {"facts": json.dumps(facts)})

    def load_checkpoint(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest checkpoint of this very stage, or None."""
        if self.folder is None or not self._checkpoint.is_file():
            return None
        with safe_open(self._checkpoint, framework="pt") as handle:
            facts = json.loads(handle.metadata()["facts"])
            return {name: handle.get_tensor(name) for name in handle.keys()}, facts  # noqa: SIM118


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file atomically."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # `save_file` would write to a temporary name of its own, which a kill leaves behind.
    write_bytes(path, save(contiguous, metadata))
