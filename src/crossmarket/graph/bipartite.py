"""The user-item graph of one or several markets, symmetrically normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset


@dataclass(frozen=True, slots=True)
class BipartiteGraph:
    """Symmetric normalised adjacency in compressed rows, users first, then items.

    `Ahat = Deg^(-1/2) A Deg^(-1/2)` with `A = [[0, R], [R^T, 0]]`; rows without edges stay zero.
    Node of user row u: u. Node of item row i: `num_users + i`.

    Attributes
    ----------
    num_users, num_items : int
        Nodes of each kind.
    offsets : int32 [num_nodes + 1]
        Row n owns the entries `offsets[n]:offsets[n + 1]`.
    neighbours : int32 [2 * edges]
        Column of each entry, ascending in a row.
    values : float32 [2 * edges]
        Value of each entry, `1 / sqrt(degree(row) * degree(column))`.
    """

    num_users: int
    num_items: int
    offsets: Tensor
    neighbours: Tensor
    values: Tensor

    @property
    def num_nodes(self) -> int:
        """Users and items together."""
        return self.num_users + self.num_items

    @property
    def degrees(self) -> Tensor:
        """Edges at each node, int64 [num_nodes]."""
        return self.offsets.diff().long()

    def to(self, device: torch.device | str) -> BipartiteGraph:
        """Copy to another device."""
        return BipartiteGraph(
            self.num_users,
            self.num_items,
            self.offsets.to(device),
            self.neighbours.to(device),
            self.values.to(device),
        )


def build_graph(
    users: NDArray[np.integer], items: NDArray[np.integer], num_users: int, num_items: int
) -> BipartiteGraph:
    """Build the graph of distinct (user row, item row) edges.

    Parameters
    ----------
    users, items : int [n]
        Rows of the edges' ends.
    num_users, num_items : int
        Sizes of the two sides, edges or not.
    """
    size = num_users + num_items
    item_nodes = items.astype(np.int64) + num_users
    user_nodes = users.astype(np.int64)
    rows = np.concatenate([user_nodes, item_nodes])
    columns = np.concatenate([item_nodes, user_nodes])
    order = np.argsort(rows * size + columns)
    rows, columns = rows[order], columns[order]
    degrees = np.bincount(rows, minlength=size)
    inverse_root = 1 / np.sqrt(np.maximum(degrees, 1))
    values = (inverse_root[rows] * inverse_root[columns]).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(degrees)])
    return BipartiteGraph(
        num_users,
        num_items,
        torch.from_numpy(offsets.astype(np.int32)),
        torch.from_numpy(columns.astype(np.int32)),
        torch.from_numpy(values),
    )


@dataclass(frozen=True)
class NodeMap:
    """Which node of a graph is which user or item.

    Attributes
    ----------
    markets : tuple of str
        Markets whose users are nodes, stacked in this order.
    user_starts : dict of market to int
        Node of the first user of each market.
    num_users : int
        User nodes of all markets; items follow.
    items : int32 [num_items]
        Sorted rows (of the shared vocabulary) of the items that are nodes.
    """

    markets: tuple[str, ...]
    user_starts: dict[str, int]
    num_users: int
    items: NDArray[np.int32]

    @property
    def num_nodes(self) -> int:
        """Users and items together."""
        return self.num_users + len(self.items)

    def user_nodes(self, market: str, users: NDArray[np.integer]) -> NDArray[np.int64]:
        """Nodes of a market's user rows."""
        return users.astype(np.int64) + self.user_starts[market]

    def item_nodes(
        self, items: NDArray[np.integer], market: str | None = None
    ) -> NDArray[np.int64]:
        """Nodes of item rows, all of them sold; `market` matters to `DomainNodes` only."""
        return np.searchsorted(self.items, items) + self.num_users

    def edges_of(
        self, dataset: MarketDataset, markets: Sequence[str]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """User nodes and item nodes of all edges of `dataset` in some of these markets."""
        users = [self.user_nodes(name, dataset.edges(name).users) for name in markets]
        items = [self.item_nodes(dataset.edges(name).items, name) for name in markets]
        return np.concatenate(users), np.concatenate(items)

    def graph_of(self, dataset: MarketDataset) -> BipartiteGraph:
        """Graph of the edges of `dataset` in these markets; give it the training part."""
        users, items = self.edges_of(dataset, self.markets)
        return build_graph(users, items - self.num_users, self.num_users, len(self.items))


def map_nodes(dataset: MarketDataset, markets: Sequence[str]) -> NodeMap:
    """Number the users of the markets, then every item that any of them sells."""
    sizes = [len(dataset.users(market)) for market in markets]
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    items = np.unique(np.concatenate([dataset.catalogue(market) for market in markets]))
    return NodeMap(
        tuple(markets), dict(zip(markets, starts, strict=False)), starts[-1], items.astype(np.int32)
    )


@dataclass(frozen=True)
class DomainNodes(NodeMap):
    """A node map in which an item has a node of its own in each domain, a group of markets.

    The graph then falls into one block a domain; `items` lists the domains' items one after the
    other, sorted within each.

    Attributes
    ----------
    domains : dict of market to (start, end)
        Positions in `items` of what the market's domain sells.
    """

    domains: dict[str, tuple[int, int]]

    def item_nodes(
        self, items: NDArray[np.integer], market: str | None = None
    ) -> NDArray[np.int64]:
        """Nodes of item rows in the domain of a market, which must sell them."""
        assert market is not None, "an item's node depends on the market"
        start, end = self.domains[market]
        return np.searchsorted(self.items[start:end], items) + start + self.num_users


def map_domains(dataset: MarketDataset, domains: Sequence[Sequence[str]]) -> DomainNodes:
    """Number the users of all markets, then the items of one domain after the other."""
    parts = [map_nodes(dataset, markets) for markets in domains]
    users = np.concatenate([[0], np.cumsum([part.num_users for part in parts])]).tolist()
    items = np.concatenate([[0], np.cumsum([len(part.items) for part in parts])]).tolist()
    return DomainNodes(
        tuple(market for part in parts for market in part.markets),
        {
            market: first + start
            for part, first in zip(parts, users, strict=False)
            for market, start in part.user_starts.items()
        },
        users[-1],
        np.concatenate([part.items for part in parts]),
        {
            market: (items[place], items[place + 1])
            for place, part in enumerate(parts)
            for market in part.markets
        },
    )
