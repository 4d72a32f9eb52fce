"""The file that says what a run is: `run.json`, written once and compared ever after."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crossmarket.errors import DataError, UsageError
from crossmarket.experiments.locking import LOCK_FILE
from crossmarket.files import read_json, write_json
from crossmarket.models.config import flat_values

RUN_FILE = "run.json"
RUN_FORMAT = 1


def load_record(path: Path) -> dict[str, Any]:
    """Read the record of a run folder.

    Raises
    ------
    UsageError
        If the folder is no run.
    DataError
        If the record was changed, or another version wrote it.
    """
    if not (path / RUN_FILE).is_file():
        raise UsageError(f"{path} is no run; make one with `crossmarket fit --out {path}`")
    try:
        record: dict[str, Any] = dict(read_json(path / RUN_FILE))
    except (ValueError, TypeError) as error:
        raise DataError(f"{path / RUN_FILE} was changed; fit into a new folder") from error
    if record.get("format") != RUN_FORMAT:
        raise DataError(f"{path} was written by another version; fit it again into a new folder")
    return record


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a run folder; targets it had before stay."""
    file, settings = path / RUN_FILE, record["settings"]
    if file.is_file():
        old = read_json(file)["settings"]["targets"]
        if set(settings["targets"]) <= set(old):
            return
        settings = {**settings, "targets": sorted({*old, *settings["targets"]})}
    write_json(file, {**record, "settings": settings})


def _require_same(path: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    way_out = "choose another folder, or repeat the old command to resume"
    if old["data"] != new["data"]:
        raise UsageError(f"{path} is a run of other data; {way_out}")
    before, after = flat_values(old["settings"]), flat_values(new["settings"])
    for name in sorted((before.keys() | after.keys()) - {"targets"}):
        if before.get(name) != after.get(name):
            raise UsageError(
                f"{path} is a run with {name}={before.get(name)}, not {after.get(name)}; {way_out}"
            )


def check_place(path: Path, record: dict[str, Any]) -> None:
    """Refuse a path that holds anything but this very run or what a killed start left.

    Raises
    ------
    UsageError
        If it does; the message names what differs.
    """
    if (path / RUN_FILE).is_file():
        _require_same(path, load_record(path), record)
    elif path.exists() and not (path.is_dir() and all(map(_is_ours, path.iterdir()))):
        raise UsageError(f"{path} holds something else; choose a new folder for the run")


def _is_ours(child: Path) -> bool:
    return child.name == LOCK_FILE or (child.name[0] == "." and child.name.endswith(".tmp"))
