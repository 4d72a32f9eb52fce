"""A split as files, so that it can be checked and used again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crossmarket.data.accounting import ReadResult
from crossmarket.data.readers import read_data
from crossmarket.data.splits import Split
from crossmarket.data.store import write_store
from crossmarket.errors import DataError
from crossmarket.files import read_json

DETAILS_FILE = "split.json"
#: Parts of a split as files; the last one only where something was set aside.
PARTS = ("train", "valid", "test", "set_aside")


def write_split(split: Split, data: ReadResult, folder: Path) -> None:
    """Write a split of `data` as a store with parts; an empty part is left out."""
    parts = {name: getattr(split, name) for name in PARTS}
    filled = {name: part for name, part in parts.items() if part and part.num_interactions}
    details = {"name": split.name, "seed": split.seed, "details": split.details}
    write_store(replace(data, parts=filled), folder, extras={DETAILS_FILE: details})


def is_split(folder: Path) -> bool:
    """Whether a folder looks like one that `write_split` wrote."""
    return (folder / DETAILS_FILE).is_file()


def read_split(folder: Path) -> Split:
    """Read back what `write_split` wrote.

    Raises
    ------
    DataError
        If a file was changed since, or is missing.
    """
    data = read_data(folder, format="store")
    try:
        written = read_json(folder / DETAILS_FILE)
        name, seed, details = (written[key] for key in ("name", "seed", "details"))
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{folder / DETAILS_FILE} was changed; make the split again") from error
    whole = data.dataset
    nothing = {market: whole.edges(market).select(slice(0, 0)) for market in whole.markets}
    empty = whole.replace_edges(nothing)
    stored = data.parts or {}
    train, valid, test = (stored.get(part, empty) for part in PARTS[:3])
    return Split(name, seed, details, train, valid, test, stored.get(PARTS[3]))
