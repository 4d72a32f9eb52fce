"""Training stages on disk: addressed by their content, resumable, never half-written."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
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
_RECORD, _MODEL, _HISTORY = "stage.json", "model.safetensors", "history.jsonl"


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
        """The result of an earlier run, verified against its hashes; None where there is none."""
        if self.folder is None or not (self.folder / _RECORD).is_file():
            return None
        record = verified_record(self.folder)
        if content_hash(record["key"]) != self.hash:  # as JSON: there tuples are lists
            raise _damaged(self.folder)
        lines = (self.folder / _HISTORY).read_text(encoding="utf-8").splitlines()
        history = [json.loads(line) for line in lines]
        self._checkpoint.unlink(missing_ok=True)  # a kill right after the record leaves it
        return TrainedState(load_file(self.folder / _MODEL), history, record["best_epoch"])

    def finish(self, state: TrainedState) -> None:
        """Write the result; `stage.json` comes last and makes it count."""
        if self.folder is None:
            return
        save_tensors(self.folder / _MODEL, state.tensors)
        lines = "".join(json.dumps(record) + "\n" for record in state.history)
        write_text(self.folder / _HISTORY, lines)
        write_json(self.folder / "timing.json", {"seconds_per_epoch": state.seconds})
        record = {
            "key": self.key,
            "sha256": {name: file_hash(self.folder / name) for name in (_MODEL, _HISTORY)},
            "best_epoch": state.best_epoch,
            "epochs": len(state.history) - 1,
        }
        write_json(self.folder / _RECORD, record)
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
        try:
            with safe_open(self._checkpoint, framework="pt") as handle:
                facts = json.loads(handle.metadata()["facts"])
                return {name: handle.get_tensor(name) for name in handle.keys()}, facts  # noqa: SIM118
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise _damaged(self.folder) from error


def verified_record(folder: Path) -> dict[str, Any]:
    """Read the record of a finished stage and check the files it names.

    Raises
    ------
    DataError
        If the record is unreadable, or a file is missing or not what was written.
    """
    try:
        record: dict[str, Any] = read_json(folder / _RECORD)
        same = all(file_hash(folder / name) == value for name, value in record["sha256"].items())
        if same and {"key", "best_epoch"} <= record.keys():
            return record
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder) from error
    raise _damaged(folder)


def _damaged(folder: Path) -> DataError:
    return DataError(
        f"the trained stage in {folder} does not match its record; "
        "remove that folder to train it again"
    )


def save_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors to a safetensors file atomically."""
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # `save_file` would write to a temporary name of its own, which a kill leaves behind.
    write_bytes(path, save(contiguous, metadata))
