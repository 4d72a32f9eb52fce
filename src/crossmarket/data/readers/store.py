"""The project's own store, as `crossmarket.data.store.write_store` leaves it."""

from __future__ import annotations

from pathlib import Path

from crossmarket.data.readers.columns import ColumnMap
from crossmarket.data.readers.formats import Format, Source
from crossmarket.data.store import (
    DATA_FILE,
    INTERACTIONS_FILE,
    PART_COLUMN,
    is_store,
    read_facts,
    verify_store,
)


def _sources(path: Path) -> list[Source]:
    if not (path / DATA_FILE).is_file():
        return []
    part_column = PART_COLUMN if read_facts(path)["parts"] else None
    file = path / INTERACTIONS_FILE
    return [Source(file, INTERACTIONS_FILE, None, part_column=part_column)]


FORMAT = Format(
    name="store",
    layout="a folder that `crossmarket data convert` or `simulate` wrote",
    matches=is_store,
    sources=_sources,
    columns=ColumnMap(
        market="market", user="user_id", item="item_id", weight="weight", timestamp="timestamp"
    ),
    verify=verify_store,
)
