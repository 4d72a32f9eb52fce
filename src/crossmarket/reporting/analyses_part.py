"""Analyses that were made beside the run, as `crossmarket analyse` left them."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.analysis.registry import ANALYSES
from crossmarket.errors import DataError, UsageError
from crossmarket.files import read_json
from crossmarket.reporting.elements import missing, number_cell, paragraph, table, text_cell

_COMMAND = "crossmarket analyse prompt-count --data DATA --out FOLDER"
_PNG = b"\x89PNG\r\n\x1a\n"
#: Rows of a table that are shown.
_SHOWN = 60


@dataclass(frozen=True, eq=False)
class Shown:
    """One analysis: its name, what it says of itself, its table and its picture."""

    name: str
    record: dict[str, Any]
    table: pl.DataFrame | None
    picture: bytes | None


def read_analyses(folder: Path) -> tuple[Shown, ...]:
    """Read every analysis in a folder, by name.

    Raises
    ------
    UsageError
        If the folder holds none.
    DataError
        If a table or a picture cannot be read.
    """
    files = folder.iterdir() if folder.is_dir() else ()
    names = sorted({file.stem for file in files if _is_analysis(file)})
    if not names:
        raise UsageError(f"{folder} holds no analysis; make one with `{_COMMAND}`")
    return tuple(_read(folder / name) for name in names)


def _is_analysis(file: Path) -> bool:
    """Whether a file is a picture, or a table whose record lies beside it."""
    described = file.stem in ANALYSES or file.with_name(f"{file.stem}.json").is_file()
    return file.suffix == ".png" or (file.suffix == ".csv" and described)


def _read(path: Path) -> Shown:
    record, table_file, picture = (path.with_name(path.name + end) for end in
                                   (".json", ".csv", ".png"))  # fmt: skip
    try:
        told = dict(read_json(record)) if record.is_file() else {}
        rows = pl.read_csv(table_file, infer_schema_length=None) if table_file.is_file() else None
    except (ValueError, TypeError, pl.exceptions.PolarsError) as error:
        raise DataError(f"the analysis {path.name} in {path.parent} cannot be read; make it "
                        "again") from error  # fmt: skip
    drawn = picture.read_bytes() if picture.is_file() else None
    if drawn is not None and not drawn.startswith(_PNG):
        raise DataError(f"{picture} is no PNG picture; make the analysis again")
    return Shown(path.name, told, rows, drawn)


def analyses_part(analyses: tuple[Shown, ...] | None, fingerprint: str) -> str:
    """Pictures and tables with their titles; without any, the command that makes them."""
    if analyses is None:
        return missing(
            "how much the settings matter",
            f"{_COMMAND} && crossmarket report RUN --analyses FOLDER",
        )
    return "".join(_shown(one, fingerprint) for one in analyses)


def _shown(one: Shown, fingerprint: str) -> str:
    known = ANALYSES.get(one.name)
    summary = str(one.record.get("summary") or (known.summary if known else ""))
    source = str(one.record.get("source") or (known.source if known else ""))
    parts = [f"<h3>{escape(one.name)}</h3>"]
    if summary:
        parts.append(paragraph(summary + (f" ({source})" if source else "")))
    facts = [f"protocol {one.record['protocol']}"] if "protocol" in one.record else []
    if "seeds" in one.record:
        facts.append(f"seeds {', '.join(map(str, one.record['seeds']))}")
    if one.record.get("data") not in (None, fingerprint):
        facts.append("made of other data than this run")
    if facts:
        parts.append(paragraph(f"Made with {'; '.join(facts)}.", kind="note"))
    if one.picture is not None:
        coded = b64encode(one.picture).decode()
        parts.append(
            f'<img class="paper" alt="{escape(summary or one.name)}" '
            f'src="data:image/png;base64,{coded}">'
        )
    if one.table is not None:
        parts.append(_table(one.name, one.table))
    return "".join(parts)


def _table(name: str, rows: pl.DataFrame) -> str:
    if not rows.width:
        return ""
    shown = rows.head(_SHOWN)
    numeric = [kind.is_numeric() for kind in rows.dtypes]
    heads = [f"#{column}" if number else column.lstrip("#")
             for column, number in zip(rows.columns, numeric, strict=True)]  # fmt: skip
    lines = [(_text(first), [_cell(value) for value in rest]) for first, *rest in shown.iter_rows()]
    heads[0] = heads[0].removeprefix("#")
    told = f"{shown.height} of {rows.height:,} rows" if rows.height > _SHOWN else "all rows"
    return (
        f"<details><summary>The table ({told})</summary>"
        + table(f"Table of {name}", heads, lines)
        + "</details>"
    )


def _cell(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return number_cell(_text(value), value)
    return text_cell(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
