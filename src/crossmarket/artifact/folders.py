"""Reading a folder that may be damaged or hostile: below one descriptor, no links, no surprises."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from crossmarket.errors import DataError


class Folder:
    """An open folder; all below it is read through its descriptor, never by a path again.

    Whoever renames or replaces the folder meanwhile does not change what is read, and a symbolic
    link is refused wherever it is met.
    """

    def __init__(self, descriptor: int, label: str) -> None:
        self._descriptor, self.label = descriptor, label

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open a folder by its path.

        Raises
        ------
        DataError
            If there is none, or it is a link or something else.
        """
        with cls._opened(path, None, str(path)) as folder:
            yield folder

    @contextmanager
    def inner(self, name: str) -> Iterator[Self]:
        """Open a folder in this one."""
        with self._opened(name, self._descriptor, f"{self.label}/{name}") as folder:
            yield folder

    @classmethod
    @contextmanager
    def _opened(cls, name: Path | str, within: int | None, label: str) -> Iterator[Self]:
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=within)
        except (OSError, ValueError) as error:
            raise DataError(f"{label} is no folder that can be read; name an artifact") from error
        try:
            yield cls(descriptor, label)
        finally:
            os.close(descriptor)

    def names(self) -> set[str]:
        """Names of all entries but those that an interrupted writer left (`.*.tmp`)."""
        found = os.listdir(self._descriptor)  # noqa: PTH208 - a descriptor is no path
        return {name for name in found if not (name.startswith(".") and name.endswith(".tmp"))}

    def read(self, name: str, *, size: int | None = None, limit: int = 0) -> bytes:
        """Read a regular file.

        Parameters
        ----------
        name : str
            Name of an entry.
        size : int, optional
            Bytes it must have.
        limit : int
            Without a size: the most bytes it may have.

        Raises
        ------
        DataError
            If it is missing, no regular file, or of another size.
        """
        place = f"{self.label}/{name}"
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(name, flags, dir_fd=self._descriptor)
        except (OSError, ValueError) as error:
            raise DataError(f"{place} is missing or no plain file") from error
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise DataError(f"{place} is missing or no plain file")
            if facts.st_size != size if size is not None else facts.st_size > limit:
                raise DataError(f"{place} has {facts.st_size:,} bytes, not what was written")
            with os.fdopen(descriptor, "rb", closefd=False) as handle:
                return handle.read(facts.st_size)
        finally:
            os.close(descriptor)


def parse_json(content: bytes, place: str) -> Any:
    """Read JSON in which no key comes twice and every number is finite.

    Raises
    ------
    DataError
        If it is anything else.
    """
    try:
        return json.loads(
            content.decode(), object_pairs_hook=_distinct, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is no JSON that an artifact may hold ({error})") from error


def render_json(value: Any) -> bytes:
    """The one form in which an artifact holds a JSON value."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return f"{text}\n".encode()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key comes twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
