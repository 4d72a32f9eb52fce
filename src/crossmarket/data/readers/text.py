"""Splitting text tables into rows, block by block, without trusting a single line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import polars as pl

from crossmarket.data.accounting import Reason
from crossmarket.errors import DataError

#: Longest line, in bytes.
MAX_LINE_BYTES = 65_536

BLOCK_BYTES = 1 << 23

_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Dialect:
    """How a line holds its fields.

    Attributes
    ----------
    separator : str
        The one character between two fields.
    quoting : bool
        Whether fields may be quoted as in RFC 4180; otherwise a quote is plain data. A quoted
        field ends on its own line: a line break within quotes breaks the row.
    typed_header : bool
        Whether column names carry a type to be cut off, as in RecBole's `user_id:token`.
    """

    separator: str
    quoting: bool
    typed_header: bool = False

    @property
    def _field(self) -> str:
        return rf'(?:"(?:[^"]|"")*"|[^"{self.separator}]*)'

    @property
    def line_pattern(self) -> str:
        """Regular expression of a line whose quotes are in order."""
        return rf"^{self._field}(?:{self.separator}{self._field})*$"

    @property
    def field_pattern(self) -> str:
        """Regular expression of a field with the separator before it."""
        return rf"{self.separator}{self._field}"


COMMAS = Dialect(",", quoting=True)
TABS = Dialect("\t", quoting=False)
BLANKS = Dialect(" ", quoting=False)
ATOMIC = Dialect("\t", quoting=False, typed_header=True)


class TextTable:
    """A text table with a header, read once from start to end.

    Parameters
    ----------
    handle : binary file
        The open file.
    dialect : Dialect
        How its lines hold their fields.
    where : str
        The file, for messages.

    Attributes
    ----------
    header : list of str
        Column names.
    """

    def __init__(self, handle: IO[bytes], dialect: Dialect, where: str) -> None:
        self._dialect = dialect
        self._where = where
        self._digest = hashlib.sha256()
        self._blocks = self._read_blocks(handle)
        self.header: list[str] = []
        self._pending = self._read_header()

    @property
    def sha256(self) -> str:
        """SHA-256 (hex) of the bytes read so far: of the file, once its rows are exhausted."""
        return self._digest.hexdigest()

    def rows(self, roles: dict[str, str]) -> Iterator[pl.DataFrame]:
        """Yield the rows in blocks.

        Parameters
        ----------
        roles : mapping of str to str
            New column name to the name in the header.

        Yields
        ------
        Tables with `line` (Int64, 1-based), `text` (the whole line), one String column per role
        and `reason` (String, null where the line could be split).
        """
        positions = {role: self.header.index(name) for role, name in roles.items()}
        if self._pending is not None:
            yield self._split(self._pending, positions)
        for lines in self._blocks:
            yield self._split(lines, positions)

    def _read_blocks(self, handle: IO[bytes]) -> Iterator[pl.DataFrame]:
        """Lines of the file that are not blank: `line`, `text`, `reason`."""
        first, rest = 1, b""
        for number, chunk in enumerate(iter(lambda: handle.read(BLOCK_BYTES), b"")):
            self._digest.update(chunk)
            head, newline, tail = (chunk.removeprefix(_BOM) if number == 0 else chunk).rpartition(
                b"\n"
            )
            if not newline:
                # A line longer than a block: what is kept of it is enough to reject it.
                rest = (rest + tail)[: MAX_LINE_BYTES + 1]
                continue
            block, rest = rest + head, tail
            yield _lines(block, first)
            first += block.count(b"\n") + 1
        if rest:
            yield _lines(rest, first)

    def _read_header(self) -> pl.DataFrame | None:
        """Take the header off the first lines; return the rows that came along with it."""
        for lines in self._blocks:
            if lines.is_empty():
                continue
            text, reason = lines["text"][0], lines["reason"][0]
            if reason is not None or "\0" in text:
                raise DataError(
                    f"{self._where} is not a text table: its first line is no header of "
                    "column names; give a CSV, TSV or Parquet file"
                )
            names = [name.strip() for name in self._fields_of(text)]
            typed = self._dialect.typed_header
            self.header = [name.partition(":")[0] for name in names] if typed else names
            return lines.slice(1)
        raise DataError(f"{self._where} is empty; it needs a header and rows")

    def _fields_of(self, line: str) -> list[str]:
        if not (self._dialect.quoting and '"' in line):
            return line.split(self._dialect.separator)
        quoted = pl.Series([line])
        if not quoted.str.contains(self._dialect.line_pattern).item():
            raise DataError(f"{self._where} has an unbalanced quote in its header; mend the header")
        return list(self._unquote(quoted).item())

    def _split(self, lines: pl.DataFrame, positions: dict[str, int]) -> pl.DataFrame:
        if self._dialect.quoting:
            quoted = lines["text"].str.contains('"', literal=True)
            if quoted.any():
                plain = self._split_plain(lines.filter(~quoted), positions)
                return pl.concat([plain, self._split_quoted(lines.filter(quoted), positions)])
        return self._split_plain(lines, positions)

    def _split_plain(self, lines: pl.DataFrame, positions: dict[str, int]) -> pl.DataFrame:
        width = len(self.header)
        fields = lines["text"].str.split_exact(self._dialect.separator, width).struct.unnest()
        too_few = fields[f"field_{width - 1}"].is_null()
        too_many = fields[f"field_{width}"].is_not_null()
        columns = [fields[f"field_{at}"].alias(role) for role, at in positions.items()]
        return lines.with_columns(
            *columns, _first_reason(lines["reason"], Reason.WRONG_FIELD_COUNT, too_few | too_many)
        )

    def _split_quoted(self, lines: pl.DataFrame, positions: dict[str, int]) -> pl.DataFrame:
        in_order = lines["text"].str.contains(self._dialect.line_pattern)
        reason = _first_reason(lines["reason"], Reason.BAD_QUOTE, ~in_order)
        fields = self._unquote(lines["text"])
        wrong = fields.list.len() != len(self.header)
        columns = [
            fields.list.get(at, null_on_oob=True).alias(role) for role, at in positions.items()
        ]
        return lines.with_columns(*columns, _first_reason(reason, Reason.WRONG_FIELD_COUNT, wrong))

    def _unquote(self, lines: pl.Series) -> pl.Series:
        """Fields (list of String) of lines whose quotes are in order."""
        separated = self._dialect.separator + lines
        element = pl.element().str.slice(1)
        inner = element.str.slice(1, element.str.len_chars() - 2).str.replace_all('""', '"')
        quoted = element.str.starts_with('"')
        fields = separated.str.extract_all(self._dialect.field_pattern)
        return fields.list.eval(pl.when(quoted).then(inner).otherwise(element))


def _lines(block: bytes, first: int) -> pl.DataFrame:
    """Lines of a block that are not blank, with their numbers and what is wrong with them."""
    broken: list[int] = []
    try:
        texts = block.decode().split("\n")
    except UnicodeDecodeError:
        texts = []
        for position, raw in enumerate(block.split(b"\n")):
            text = raw.decode(errors="replace")
            texts.append(text)
            if text.encode() != raw:
                broken.append(position)
    lines = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
        pl.col("text").str.strip_suffix("\r"),
        pl.int_range(first, first + len(texts), dtype=pl.Int64).alias("line"),
    )
    reason = (
        pl.when(pl.col("text").str.len_bytes() > MAX_LINE_BYTES)
        .then(pl.lit(Reason.LINE_TOO_LONG.value))
        .when(pl.col("line").is_in([first + position for position in broken]))
        .then(pl.lit(Reason.BAD_UTF8.value))
        .alias("reason")
    )
    return lines.with_columns(reason).filter(pl.col("text").str.strip_chars(" ") != "")


def _first_reason(known: pl.Series, reason: Reason, holds: pl.Series) -> pl.Series:
    """Add a reason where it holds and none is known yet."""
    return known.to_frame("reason").select(
        pl.when(pl.col("reason").is_null() & holds)
        .then(pl.lit(reason.value))
        .otherwise(pl.col("reason"))
        .alias("reason")
    )["reason"]
