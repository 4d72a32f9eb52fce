"""The project's own store: one folder of Parquet and JSON with everything a read gave.

`interactions.parquet` holds the interactions (the columns of `SCHEMA`; where the source gave
parts, one row per interaction and part, with a column `part` that is null where no part holds the
interaction), `data.json` the counts, hashes and the fingerprint, `rejected.csv` the rows that were
left out. The same data give the same bytes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossmarket.data.accounting import REJECTED_SCHEMA, ReadResult
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError, UsageError
from crossmarket.files import file_hash, read_json, replace_folder, write_atomically, write_json

STORE_FORMAT = "crossmarket-data"
STORE_VERSION = 1

INTERACTIONS_FILE = "interactions.parquet"
DATA_FILE = "data.json"
REJECTED_FILE = "rejected.csv"
PART_COLUMN = "part"

_PAIR = ["market", "user_id", "item_id"]


def write_store(
    data: ReadResult | MarketDataset,
    folder: str | os.PathLike[str],
    *,
    extras: Mapping[str, Any] | None = None,
) -> None:
    """Write a data set, its parts and its row accounting as a store.

    The folder is built beside its place and moved there whole: a kill leaves no half of it.

    Parameters
    ----------
    data : ReadResult or MarketDataset
        What to store; a plain data set has no parts and no accounting.
    folder : path
        Where to; a store that is there is replaced.
    extras : mapping of str to JSON-able value, optional
        Further JSON files to put into the folder, by file name.

    Raises
    ------
    UsageError
        If the folder is a file or holds anything but a store, or if the data set has users, items
        or catalogue entries without an interaction, which a store would lose, or if a part is
        empty or holds an interaction that the data set lacks.
    """
    target = Path(folder).resolve()
    _check_target(target)
    dataset = data if isinstance(data, MarketDataset) else data.dataset
    parts = None if isinstance(data, MarketDataset) else data.parts
    report = None if isinstance(data, MarketDataset) else data.report
    _check_complete(dataset)

    def fill(temporary: Path) -> None:
        frame = _frame(dataset, parts)
        write_atomically(temporary / INTERACTIONS_FILE, frame.write_parquet)
        rejected = pl.DataFrame(schema=REJECTED_SCHEMA) if report is None else report.rejected
        write_atomically(temporary / REJECTED_FILE, rejected.write_csv)
        facts = {
            "format": STORE_FORMAT,
            "version": STORE_VERSION,
            "fingerprint": dataset.fingerprint,
            "markets": {market: _counts(dataset, market) for market in dataset.markets},
            "num_items": len(dataset.items),
            "parts": {name: part.num_interactions for name, part in (parts or {}).items()},
            "accounting": None if report is None else report.to_dict(),
            "files": {
                name: file_hash(temporary / name) for name in (INTERACTIONS_FILE, REJECTED_FILE)
            },
        }
        for name, value in {**(extras or {}), DATA_FILE: facts}.items():
            write_json(temporary / name, value)

    replace_folder(target, fill)


def is_store(path: Path) -> bool:
    """Whether a path is a folder that `write_store` wrote, of any version."""
    try:
        facts = read_json(path / DATA_FILE)
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == STORE_FORMAT


def read_facts(folder: Path) -> dict[str, Any]:
    """Read what `data.json` of a store says.

    Raises
    ------
    DataError
        If it is not the description of a store of this version.
    """
    try:
        facts = read_json(folder / DATA_FILE)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / DATA_FILE} cannot be read ({error}); convert again") from error
    if not isinstance(facts, dict) or facts.get("format") != STORE_FORMAT:
        raise DataError(f"{folder / DATA_FILE} does not describe a store; convert the data again")
    if facts.get("version") != STORE_VERSION:
        raise DataError(
            f"{folder} is a store of version {facts.get('version')}, this program reads version "
            f"{STORE_VERSION}; convert the data again"
        )
    wrong = [name for name in ("fingerprint", "parts", "files") if name not in facts]
    if wrong:
        raise DataError(f"{folder / DATA_FILE} lacks {wrong[0]!r}; convert the data again")
    return facts


def verify_store(folder: Path, result: ReadResult) -> None:
    """Check that a store holds what its description says.

    Parameters
    ----------
    folder : Path
        The store.
    result : ReadResult
        What was read from it.

    Raises
    ------
    DataError
        If the bytes of the interactions or the data set differ from those written.
    """
    facts = read_facts(folder)
    changed = f"{folder} was changed after it was written; convert the data again"
    if facts["files"].get(INTERACTIONS_FILE) != result.report.files[0].sha256:
        raise DataError(changed)
    whole = not result.report.total.num_rejected
    if whole and facts["fingerprint"] != result.dataset.fingerprint:
        raise DataError(changed)


def _frame(dataset: MarketDataset, parts: Mapping[str, MarketDataset] | None) -> pl.DataFrame:
    """The interactions; with parts, a row per interaction and part, null where none holds it."""
    whole = dataset.to_frame()
    if not parts:
        return whole
    named = []
    for name in sorted(parts):
        part = parts[name].to_frame().with_columns(pl.lit(name).alias(PART_COLUMN))
        if part.is_empty():
            raise UsageError(f"part {name!r} holds no interaction; leave it out of the store")
        strange = part.join(whole, on=_PAIR, how="anti")
        if not strange.is_empty():
            raise UsageError(
                f"part {name!r} holds ({', '.join(strange.row(0)[:3])}), which is not in the data "
                "set; store parts with the data they were cut from"
            )
        named.append(part)
    rest = whole.join(pl.concat(named), on=_PAIR, how="anti", maintain_order="left")
    return pl.concat([*named, rest.with_columns(pl.lit(None, pl.String).alias(PART_COLUMN))])


def _counts(dataset: MarketDataset, market: str) -> dict[str, int]:
    return {
        "users": len(dataset.users(market)),
        "items": len(dataset.catalogue(market)),
        "interactions": len(dataset.edges(market)),
    }


def _check_complete(dataset: MarketDataset) -> None:
    sold = set()
    for market in dataset.markets:
        edges, catalogue = dataset.edges(market), dataset.catalogue(market)
        bought = np.unique(edges.items)
        sold.update(bought.tolist())
        idle = len(dataset.users(market)) - len(np.unique(edges.users))
        if idle or not np.array_equal(bought, catalogue):
            raise UsageError(
                f"market {market!r} has users or items without an interaction, so these data are "
                "a part of a larger set; store the whole set"
            )
    if len(sold) != len(dataset.items):
        raise UsageError("some items occur in no market, so these data are a part; store the whole")


def _check_target(target: Path) -> None:
    if target.is_dir():
        if any(target.iterdir()) and not is_store(target):
            raise UsageError(f"{target} is not empty and holds no store; name another folder")
    elif target.exists() or target.is_symlink():
        raise UsageError(f"{target} is not a folder; name another one")
