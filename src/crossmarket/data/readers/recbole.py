"""RecBole atomic files: `{market}.inter`, tab separated, header such as `user_id:token`."""

from __future__ import annotations

from pathlib import Path

from crossmarket.data.readers.formats import Format, Source, visible_files
from crossmarket.data.readers.text import ATOMIC


def _sources(path: Path) -> list[Source]:
    files = visible_files(path, "*.inter") if path.is_dir() else [path]
    return [
        Source(file, file.name, ATOMIC, market=file.stem)
        for file in files
        if file.suffix == ".inter"
    ]


FORMAT = Format(
    name="recbole",
    layout="a {market}.inter file, or a folder of them",
    matches=lambda path: bool(_sources(path)),
    sources=_sources,
)
