"""From checked rows to data sets: duplicates merged, parts over shared vocabularies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.data.dataset import NO_TIME, Edges, MarketDataset
from crossmarket.data.vocabulary import Vocabulary

_LATEST = np.iinfo(np.int64).max


class Assembled(NamedTuple):
    """A data set, its parts, and how many rows of each file were kept (int64 [num_files])."""

    dataset: MarketDataset
    parts: Mapping[str, MarketDataset] | None
    kept: NDArray[np.int64]


def assemble(rows: pl.DataFrame, num_files: int) -> Assembled:
    """Build a data set from usable rows.

    Rows with equal (market, user, item) become one interaction with the earliest known timestamp
    and the largest weight, so the result does not depend on the order of rows. The first file
    that holds the triple counts it as kept.

    Parameters
    ----------
    rows : polars.DataFrame
        `file` (UInt32), `part` (String, null where there are no parts), `market`, `user`, `item`
        (String), `weight` (Float32), `timestamp` (Int64, null where unknown); not empty.
    num_files : int
        Files that were read.
    """
    items = Vocabulary(rows["item"])
    names = rows["part"].unique().drop_nulls().sort().to_list()
    users: dict[str, Vocabulary] = {}
    edges: dict[str, Edges] = {}
    part_edges: dict[str, dict[str, Edges]] = {name: {} for name in names}
    kept = np.zeros(num_files, dtype=np.int64)
    for (market,), group in rows.partition_by("market", as_dict=True).items():
        users[market] = Vocabulary(group["user"])
        coded = _Coded(
            _codes(group["user"], users[market]),
            _codes(group["item"], items),
            group["weight"].to_numpy(),
            group["timestamp"].fill_null(NO_TIME).to_numpy(),
            group["file"].to_numpy(),
        )
        edges[market], first_files = _merge(coded)
        kept += np.bincount(first_files, minlength=num_files)
        for name in names:
            which = (group["part"] == name).fill_null(False).to_numpy()
            part_edges[name][market] = _merge(_Coded(*(array[which] for array in coded)))[0]
    catalogues = {market: np.unique(part.items) for market, part in edges.items()}
    dataset = MarketDataset(items, users, edges, catalogues)
    parts = {name: dataset.replace_edges(part_edges[name]) for name in names}
    return Assembled(dataset, parts or None, kept)


class _Coded(NamedTuple):
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.int64]
    files: NDArray[np.uint32]


def _codes(ids: pl.Series, vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Rows of ids that are all in the vocabulary; much faster than looking them up one by one."""
    return ids.cast(pl.Enum(vocabulary.ids)).to_physical().to_numpy().astype(np.int32)


def _merge(rows: _Coded) -> tuple[Edges, NDArray[np.uint32]]:
    """Distinct (user, item) pairs in order, and the first file of each."""
    order = np.lexsort((rows.items, rows.users))
    users, items = rows.users[order], rows.items[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(users) != 0) | (np.diff(items) != 0)
    starts = np.flatnonzero(fresh)
    if not len(starts):
        return Edges(users, items, rows.weights, rows.timestamps), rows.files
    times = np.where(rows.timestamps == NO_TIME, _LATEST, rows.timestamps)[order]
    earliest = np.minimum.reduceat(times, starts)
    merged = Edges(
        users[starts],
        items[starts],
        np.maximum.reduceat(rows.weights[order], starts),
        np.where(earliest == _LATEST, NO_TIME, earliest),
    )
    return merged, np.minimum.reduceat(rows.files[order], starts)
