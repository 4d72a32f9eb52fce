"""WSDM Cup 2022: `{market}/train_5core.tsv` and, for some, `{market}/valid_qrel.tsv`."""

from __future__ import annotations

from pathlib import Path

from crossmarket.data.readers.formats import Format, Source, visible_files
from crossmarket.data.readers.text import TABS

_PARTS = {"train": "train_5core.tsv", "valid": "valid_qrel.tsv"}


def _sources(path: Path) -> list[Source]:
    if not path.is_dir():
        return []
    if (path / _PARTS["train"]).exists():
        return _market_sources(path.resolve(), "")
    folders = visible_files(path, "*")
    return [source for folder in folders for source in _market_sources(folder, f"{folder.name}/")]


def _market_sources(folder: Path, prefix: str) -> list[Source]:
    if not (folder / _PARTS["train"]).exists():
        return []
    return [
        Source(folder / name, prefix + name, TABS, market=folder.name, part=part)
        for part, name in _PARTS.items()
        if (folder / name).exists()
    ]


FORMAT = Format(
    name="wsdm",
    layout="a folder with {market}/train_5core.tsv and optionally {market}/valid_qrel.tsv",
    matches=lambda path: bool(_sources(path)),
    sources=_sources,
)
