"""Tables in CSV, TSV or Parquet: one with a market column, or a folder with one per market."""

from __future__ import annotations

from pathlib import Path

from crossmarket.data.readers.formats import Format, Source, visible_files
from crossmarket.data.readers.text import COMMAS, TABS

_DIALECTS = {".csv": COMMAS, ".tsv": TABS, ".parquet": None}


def _sources(path: Path) -> list[Source]:
    in_folder = path.is_dir()
    files = visible_files(path, "*") if in_folder else [path]
    return [
        Source(
            file, file.name, _DIALECTS[file.suffix.lower()], market=file.stem if in_folder else None
        )
        for file in files
        if file.suffix.lower() in _DIALECTS
    ]


FORMAT = Format(
    name="table",
    layout="a .csv, .tsv or .parquet file with a market column, or a folder of {market}.csv "
    "(.tsv, .parquet) files",
    matches=lambda path: bool(_sources(path)),
    sources=_sources,
)
