"""The interactions of many markets, as every other part of the package sees them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError, UsageError

#: Timestamp (seconds since 1970-01-01 UTC) of an interaction whose time is not known.
NO_TIME = np.iinfo(np.int64).min

#: Columns of an interaction table, in order.
SCHEMA: dict[str, pl.DataType] = {
    "market": pl.String(),
    "user_id": pl.String(),
    "item_id": pl.String(),
    "weight": pl.Float32(),
    "timestamp": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Edges:
    """Distinct (user, item) interactions of one market, sorted by user row, then item row.

    Attributes
    ----------
    users, items : int32 [n]
        Rows in the market's user vocabulary and in the shared item vocabulary.
    weights : float32 [n]
        Strength of the interaction (a rating, a count); 1 where the data give none.
    timestamps : int64 [n]
        Seconds since 1970-01-01 UTC; `NO_TIME` where unknown.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    timestamps: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)

    def select(self, which: NDArray[np.bool_] | NDArray[np.integer] | slice) -> Edges:
        """The edges picked by a boolean mask, a slice or ascending positions."""
        return Edges(
            self.users[which], self.items[which], self.weights[which], self.timestamps[which]
        )


class MarketDataset:
    """Immutable interactions of any number of markets over one shared item vocabulary.

    A user is the pair (market, user id): equal ids in two markets are two users. An item is its
    id: equal ids in two markets are the same item. Several data sets may share vocabularies and
    catalogues and differ in their edges only (the parts of a split do).

    Parameters
    ----------
    items : Vocabulary
        Item ids of all markets.
    users : mapping of market to Vocabulary
        User ids of each market; its keys, sorted, are the markets.
    edges : mapping of market to Edges
        Interactions of each market.
    catalogues : mapping of market to int32 array
        Sorted item rows that the market sells: the candidates of a recommendation.
    """

    def __init__(
        self,
        items: Vocabulary,
        users: Mapping[str, Vocabulary],
        edges: Mapping[str, Edges],
        catalogues: Mapping[str, NDArray[np.int32]],
    ) -> None:
        self.markets: tuple[str, ...] = tuple(sorted(users))
        self.items = items
        self._users = dict(users)
        self._edges = {market: edges[market] for market in self.markets}
        self._catalogues = dict(catalogues)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame) -> MarketDataset:
        """Build a data set from a table with the columns of `SCHEMA`.

        Parameters
        ----------
        frame : polars.DataFrame
            `market`, `user_id`, `item_id` (no nulls, no duplicate triple); `weight` and
            `timestamp` may be absent or null.

        Raises
        ------
        DataError
            If the table is empty or holds a (market, user, item) triple twice.
        """
        if frame.is_empty():
            raise DataError("there are no interactions in these data; nothing can be learned")
        for column, empty in (("weight", 1.0), ("timestamp", None)):
            if column not in frame.columns:
                frame = frame.with_columns(pl.lit(empty).alias(column))
        frame = frame.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())
        items = Vocabulary(frame["item_id"])
        users: dict[str, Vocabulary] = {}
        edges: dict[str, Edges] = {}
        for (market,), part in frame.partition_by("market", as_dict=True).items():
            name = str(market)
            users[name] = Vocabulary(part["user_id"])
            user_rows = users[name].rows(part["user_id"])
            item_rows = items.rows(part["item_id"])
            order = np.lexsort((item_rows, user_rows))
            edges[name] = Edges(
                user_rows[order],
                item_rows[order],
                part["weight"].fill_null(1.0).to_numpy()[order],
                part["timestamp"].fill_null(NO_TIME).to_numpy()[order],
            )
            pairs = edges[name].users.astype(np.int64) * len(items) + edges[name].items
            if np.any(np.diff(pairs) == 0):
                raise DataError(f"market {name!r} holds the same (user, item) pair twice; merge it")
        catalogues = {name: np.unique(part.items) for name, part in edges.items()}
        return cls(items, users, edges, catalogues)

    def __repr__(self) -> str:
        return f"MarketDataset({len(self.markets)} markets, {self.num_interactions} interactions)"

    @property
    def num_interactions(self) -> int:
        """Interactions of all markets."""
        return sum(len(part) for part in self._edges.values())

    @property
    def num_users(self) -> int:
        """Users of all markets."""
        return sum(len(vocabulary) for vocabulary in self._users.values())

    @property
    def has_timestamps(self) -> bool:
        """Whether every interaction carries its time."""
        return all(self.is_timed(market) for market in self.markets)

    def is_timed(self, market: str) -> bool:
        """Whether every interaction of a market carries its time."""
        return bool(np.all(self.edges(market).timestamps != NO_TIME))

    def require_market(self, market: str) -> str:
        """Return `market` if it exists here.

        Raises
        ------
        UsageError
            Otherwise; the message lists the markets that exist.
        """
        if market not in self._users:
            known = ", ".join(self.markets)
            raise UsageError(f"there is no market {market!r} in these data; choose from: {known}")
        return market

    def users(self, market: str) -> Vocabulary:
        """User vocabulary of a market."""
        return self._users[self.require_market(market)]

    def edges(self, market: str) -> Edges:
        """Interactions of a market."""
        return self._edges[self.require_market(market)]

    def catalogue(self, market: str) -> NDArray[np.int32]:
        """Sorted item rows that the market sells."""
        return self._catalogues[self.require_market(market)]

    def matrix(self, market: str) -> csr_array:
        """Binary users x items matrix of a market (float32, all items of the vocabulary)."""
        part = self.edges(market)
        shape = (len(self.users(market)), len(self.items))
        ones = np.ones(len(part), dtype=np.float32)
        return csr_array((ones, (part.users, part.items)), shape=shape)

    @cached_property
    def user_offsets(self) -> dict[str, int]:
        """First row of each market when the users of all markets are stacked in market order."""
        sizes = [len(self._users[market]) for market in self.markets]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return {market: int(start) for market, start in zip(self.markets, starts, strict=False)}

    def replace_edges(self, edges: Mapping[str, Edges]) -> MarketDataset:
        """The same vocabularies and catalogues with other edges (markets not named keep theirs)."""
        return MarketDataset(self.items, self._users, {**self._edges, **edges}, self._catalogues)

    def select_markets(self, markets: Iterable[str]) -> MarketDataset:
        """Only the named markets, over the same item vocabulary."""
        names = [self.require_market(market) for market in markets]
        return MarketDataset(
            self.items,
            {name: self._users[name] for name in names},
            {name: self._edges[name] for name in names},
            {name: self._catalogues[name] for name in names},
        )

    def drop_unsold_items(self) -> MarketDataset:
        """The same markets over the items that at least one of them sells."""
        sold = np.unique(np.concatenate(list(self._catalogues.values())))
        edges = {
            name: replace(part, items=np.searchsorted(sold, part.items).astype(np.int32))
            for name, part in self._edges.items()
        }
        catalogues = {
            name: np.searchsorted(sold, rows).astype(np.int32)
            for name, rows in self._catalogues.items()
        }
        return MarketDataset(Vocabulary(self.items.take(sold)), self._users, edges, catalogues)

    def to_frame(self) -> pl.DataFrame:
        """The interactions as a table with the columns of `SCHEMA`, in canonical order."""
        parts = []
        for market in self.markets:
            part = self._edges[market]
            parts.append(
                pl.DataFrame(
                    {
                        "market": pl.repeat(market, len(part), dtype=pl.String, eager=True),
                        "user_id": self._users[market].take(part.users),
                        "item_id": self.items.take(part.items),
                        "weight": part.weights,
                        "timestamp": pl.Series(part.timestamps).replace(NO_TIME, None),
                    },
                    schema=SCHEMA,
                )
            )
        return pl.concat(parts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, catalogues and edges; equal data give equal fingerprints."""
        digest = hashlib.sha256()

        def add(series: pl.Series) -> None:
            for text in series:
                digest.update(text.encode() + b"\0")

        add(self.items.ids)
        for market in self.markets:
            digest.update(market.encode() + b"\0")
            add(self._users[market].ids)
            part = self._edges[market]
            for array in (part.users, part.items, part.weights, part.timestamps):
                digest.update(np.ascontiguousarray(array).tobytes())
            digest.update(self._catalogues[market].tobytes())
        return digest.hexdigest()
