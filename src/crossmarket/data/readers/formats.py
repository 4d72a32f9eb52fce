"""What a format is: how to recognise it, and which files it consists of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crossmarket.data.accounting import ReadResult
from crossmarket.data.readers.columns import ColumnMap
from crossmarket.data.readers.text import Dialect


@dataclass(frozen=True)
class Source:
    """One input file.

    Attributes
    ----------
    path : Path
        Where it is.
    name : str
        What reports call it: its path within the input.
    dialect : Dialect or None
        How its text holds fields; None for a Parquet file.
    market : str or None
        Market of all its rows; None where a column says it.
    part : str or None
        Part of the data that its rows belong to, such as 'train'.
    part_column : str or None
        Column that names each row's part.
    """

    path: Path
    name: str
    dialect: Dialect | None
    market: str | None = None
    part: str | None = None
    part_column: str | None = None


@dataclass(frozen=True)
class Format:
    """A layout of interaction files.

    Attributes
    ----------
    name : str
        What `read_data(format=...)` calls it.
    layout : str
        What it looks like, for messages.
    matches : callable
        Whether a path looks like this format.
    sources : callable
        The input files below a path, in reading order; empty where there are none.
    columns : ColumnMap or None
        The columns, where the format fixes them; None where the user may map them.
    verify : callable or None
        Further check of what was read, given the path; raises DataError.
    """

    name: str
    layout: str
    matches: Callable[[Path], bool]
    sources: Callable[[Path], Sequence[Source]]
    columns: ColumnMap | None = None
    verify: Callable[[Path, ReadResult], None] | None = None


def visible_files(folder: Path, pattern: str) -> list[Path]:
    """Entries of a folder that match a glob pattern, hidden ones left out, sorted by name."""
    return sorted(path for path in folder.glob(pattern) if not path.name.startswith("."))
