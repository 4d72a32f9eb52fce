"""XMarket: a folder of `{market}_5core.txt`, blank separated, header `userId itemId rate date`."""

from __future__ import annotations

from pathlib import Path

from crossmarket.data.readers.formats import Format, Source, visible_files
from crossmarket.data.readers.text import BLANKS

_SUFFIX = "_5core.txt"


def _sources(path: Path) -> list[Source]:
    files = visible_files(path, f"?*{_SUFFIX}") if path.is_dir() else [path]
    return [
        Source(file, file.name, BLANKS, market=file.name.removesuffix(_SUFFIX))
        for file in files
        if file.name.endswith(_SUFFIX)
    ]


FORMAT = Format(
    name="xmarket",
    layout="a folder of {market}_5core.txt files, or one of them",
    matches=lambda path: bool(_sources(path)),
    sources=_sources,
)
