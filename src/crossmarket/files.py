"""Writing and hashing files so that a kill at any moment leaves the old or the new content."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary neighbour of `path`, then put it in place in one step.

    Parameters
    ----------
    path : Path
        The file to create or replace; missing parent folders are made.
    write : callable
        Receives the temporary path and writes the whole content to it.

    Raises
    ------
    OSError
        If the system refuses (a full device, say), with its number and `path`; what was at `path`
        stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except Exception as error:
        refused = _refusal(error, path)
        if refused is None:
            raise
        raise refused from error
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _refusal(error: Exception, path: Path) -> OSError | None:
    """The system's refusal behind an error of a writer, with the path that was to be written."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # Polars and safetensors raise errors of their own that tell the number in words.
        told = re.search(r"\(os error (\d+)\)", str(error))
        number = int(told[1]) if told else None
    return None if number is None else OSError(number, os.strerror(number), str(path))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, with line feeds as line ends on every platform."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON atomically; the same value gives the same bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file that this package wrote."""
    return json.loads(path.read_text(encoding="utf-8"))


def content_hash(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable (a rename is not, until its folder is synced)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_folder(target: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` fill a temporary neighbour of a folder, then put it in place in one step.

    Parameters
    ----------
    target : Path
        The folder to create or replace, links resolved; missing parent folders are made.
    fill : callable
        Receives the temporary folder and writes the whole content to it.

    Raises
    ------
    OSError
        If the system refuses; what was at `target` stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary, previous = _beside(target, "new"), _beside(target, "old")
    try:
        temporary.mkdir()
        fill(temporary)
        sync_folder(temporary)
        if not (target.is_dir() and any(target.iterdir())):
            temporary.rename(target)
        elif not _exchange(temporary, target):
            target.rename(previous)
            try:
                temporary.rename(target)
            except OSError:
                previous.rename(target)
                raise
        sync_folder(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    shutil.rmtree(previous, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders take each other's place in one step; False where the system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(rename(here, os.fsencode(first), here, os.fsencode(second), exchange) == 0)


def _beside(target: Path, role: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{role}.tmp")


def _remove_leftovers(target: Path) -> None:
    """Remove what writers of the same folder left beside it when they were killed."""
    for leftover in target.parent.glob(f".{_escaped(target.name)}.*.tmp"):
        process, role = leftover.name.split(".")[-3:-1]
        if process.isdecimal() and not _is_alive(int(process)):
            if role == "old" and not target.exists():
                leftover.rename(target)  # the kill fell between two renames
            else:
                shutil.rmtree(leftover, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it runs, as someone else
        pass
    return True


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed writer left behind below `folder`."""
    for leftover in folder.rglob(".*.tmp"):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)
