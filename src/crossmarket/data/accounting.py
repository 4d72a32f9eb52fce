"""Row accounting: where every row of every input file went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import polars as pl

from crossmarket.data.dataset import MarketDataset


class Reason(StrEnum):
    """Why a row was rejected; the first reason that holds, in this order."""

    LINE_TOO_LONG = "line_too_long"
    BAD_UTF8 = "bad_utf8"
    BAD_QUOTE = "bad_quote"
    WRONG_FIELD_COUNT = "wrong_field_count"
    EMPTY_ID = "empty_id"
    ID_TOO_LONG = "id_too_long"
    CONTROL_CHAR = "control_char"
    BAD_WEIGHT = "bad_weight"
    BAD_TIMESTAMP = "bad_timestamp"
    BELOW_MIN_WEIGHT = "below_min_weight"


#: Columns of the table of rejected rows: the file as the report names it, the 1-based line (the
#: row in a Parquet file), the reason, and the row's text cut to `TEXT_LIMIT` characters.
REJECTED_SCHEMA: dict[str, pl.DataType] = {
    "file": pl.String(),
    "line": pl.Int64(),
    "reason": pl.String(),
    "text": pl.String(),
}

#: Characters of a rejected row that its report keeps.
TEXT_LIMIT = 200


@dataclass(frozen=True)
class RowCounts:
    """Fates of the rows of one file or of a whole read.

    Attributes
    ----------
    read : int
        Data rows: every line but the header and blank ones.
    kept : int
        Rows that became an interaction of their own.
    merged : int
        Rows that repeat the (market, user, item) of a kept row and were merged into it.
    rejected : mapping of str to int
        Rows left out, by `Reason`; always `read = kept + merged + sum(rejected.values())`.
    """

    read: int
    kept: int
    merged: int
    rejected: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read != self.kept + self.merged + self.num_rejected:
            raise ValueError(f"rows do not add up: {self}")

    def __add__(self, other: RowCounts) -> RowCounts:
        reasons = Counter(self.rejected) + Counter(other.rejected)
        return RowCounts(
            self.read + other.read,
            self.kept + other.kept,
            self.merged + other.merged,
            dict(sorted(reasons.items())),
        )

    @property
    def num_rejected(self) -> int:
        """Rows left out for any reason."""
        return sum(self.rejected.values())

    @property
    def num_broken(self) -> int:
        """Rows left out because something is wrong with them (a low weight is not wrong)."""
        return self.num_rejected - self.rejected.get(Reason.BELOW_MIN_WEIGHT, 0)

    def to_dict(self) -> dict[str, Any]:
        """The counts as JSON-able values."""
        return {
            "read": self.read,
            "kept": self.kept,
            "merged": self.merged,
            "rejected": dict(self.rejected),
        }

    def __str__(self) -> str:
        reasons = ", ".join(f"{reason} {count:,}" for reason, count in self.rejected.items())
        return (
            f"{self.read:,} rows read = {self.kept:,} kept + {self.merged:,} merged "
            f"+ {self.num_rejected:,} rejected" + (f" ({reasons})" if reasons else "")
        )


@dataclass(frozen=True)
class FileReport:
    """What became of one input file: its name within the input, its SHA-256 (hex), its rows."""

    name: str
    sha256: str
    counts: RowCounts

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return {"name": self.name, "sha256": self.sha256, **self.counts.to_dict()}


@dataclass(frozen=True)
class ReadReport:
    """What became of every row of a read.

    Attributes
    ----------
    files : tuple of FileReport
        One per input file, in the order read. A pair that occurs in several files is kept in the
        first of them and merged in the others.
    rejected : polars.DataFrame
        The rejected rows, with the columns of `REJECTED_SCHEMA`, by file and line.
    """

    files: tuple[FileReport, ...]
    rejected: pl.DataFrame

    @property
    def total(self) -> RowCounts:
        """Counts of all files together."""
        return sum((file.counts for file in self.files), RowCounts(0, 0, 0))

    def to_dict(self) -> dict[str, Any]:
        """The accounting as JSON-able values (without the rejected rows themselves)."""
        return {**self.total.to_dict(), "files": [file.to_dict() for file in self.files]}

    def __str__(self) -> str:
        return str(self.total)


@dataclass(frozen=True)
class ReadResult:
    """Interactions read from outside, and the account of every row.

    Attributes
    ----------
    dataset : MarketDataset
        All interactions.
    parts : mapping of str to MarketDataset, or None
        The parts that the source itself gives, such as 'train' and 'valid', over the vocabularies
        and catalogues of `dataset`; None where the source knows no parts.
    report : ReadReport
        Where every row went.
    """

    dataset: MarketDataset
    parts: Mapping[str, MarketDataset] | None
    report: ReadReport
