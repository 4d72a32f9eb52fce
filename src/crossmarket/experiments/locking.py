"""One process at a time in a folder of results."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossmarket.errors import UsageError

LOCK_FILE = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a second process from writing to the same folder; it is made where missing.

    A holder that is killed frees the lock by dying.

    Raises
    ------
    UsageError
        If another process holds the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another process is at work in {folder}; wait for it to end"
            raise UsageError(message) from error
        yield
