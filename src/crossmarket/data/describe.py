"""Statistics of markets and how much they resemble each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from crossmarket.data.dataset import NO_TIME, MarketDataset
from crossmarket.data.heatmap import HeatMap, draw_heat_maps
from crossmarket.data.resemblance import resemblance

# Narrow enough for the statistics to fit on a terminal of 80 columns.
_STYLE: dict[str, Any] = {"box": box.SIMPLE_HEAD, "pad_edge": False, "padding": (0, 1, 0, 0)}


@dataclass(frozen=True)
class MarketStatistics:
    """Statistics of one market.

    Attributes
    ----------
    users, items, interactions : int
        Users, catalogue items and distinct (user, item) interactions.
    density : float
        Interactions per cell of the users x catalogue matrix, from 0 to 1.
    interactions_per_user : float
        Mean over the users.
    first_day, last_day : str or None
        UTC days (ISO 8601) of the earliest and latest known time; None where no time is known.
    shared_items : float
        Share of the catalogue that at least one other market sells too.
    """

    users: int
    items: int
    interactions: int
    density: float
    interactions_per_user: float
    first_day: str | None
    last_day: str | None
    shared_items: float


@dataclass(frozen=True, eq=False)
class Description:
    """Statistics of every market and of every pair of markets.

    Attributes
    ----------
    statistics : mapping of str to MarketStatistics
        By market, in market order (the order of the rows and columns of the matrices).
    num_items : int
        Items of all markets together.
    overlap : int64 [markets, markets]
        Items that both markets sell; a market's catalogue size on the diagonal.
    jaccard : float64 [markets, markets]
        Overlap divided by the items that either market sells.
    cosine : float64 [markets, markets]
        Cosine similarity of the markets' purchase counts over all items.
    """

    statistics: Mapping[str, MarketStatistics]
    num_items: int
    overlap: NDArray[np.int64]
    jaccard: NDArray[np.float64]
    cosine: NDArray[np.float64]

    @property
    def markets(self) -> tuple[str, ...]:
        """Markets in the order of the matrices."""
        return tuple(self.statistics)

    def to_dict(self) -> dict[str, Any]:
        """The description as JSON-able values."""
        return {
            "markets": {name: asdict(entry) for name, entry in self.statistics.items()},
            "num_items": self.num_items,
            "overlap": self.overlap.tolist(),
            "jaccard": self.jaccard.tolist(),
            "cosine": self.cosine.tolist(),
        }


def describe(dataset: MarketDataset) -> Description:
    """Compute the statistics of a data set.

    Parameters
    ----------
    dataset : MarketDataset
        Any data set; a market without interactions has a cosine similarity of 0 to the others.
    """
    shape = (len(dataset.markets), len(dataset.items))
    sold = np.zeros(shape, dtype=np.int64)
    bought = np.zeros(shape)
    for row, market in enumerate(dataset.markets):
        sold[row, dataset.catalogue(market)] = 1
        bought[row] = np.bincount(dataset.edges(market).items, minlength=shape[1])
    alike = resemblance(sold, bought)
    elsewhere = (sold * (sold.sum(axis=0) > 1)).sum(axis=1)
    return Description(
        {
            market: _statistics(dataset, market, int(elsewhere[row]))
            for row, market in enumerate(dataset.markets)
        },
        len(dataset.items),
        alike.overlap,
        alike.jaccard,
        alike.cosine,
    )


def _statistics(dataset: MarketDataset, market: str, elsewhere: int) -> MarketStatistics:
    edges = dataset.edges(market)
    users, items = len(dataset.users(market)), len(dataset.catalogue(market))
    known = edges.timestamps[edges.timestamps != NO_TIME]
    return MarketStatistics(
        users=users,
        items=items,
        interactions=len(edges),
        density=len(edges) / max(users * items, 1),
        interactions_per_user=len(edges) / max(users, 1),
        first_day=_day(int(known.min())) if len(known) else None,
        last_day=_day(int(known.max())) if len(known) else None,
        shared_items=elsewhere / max(items, 1),
    )


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def tables(description: Description) -> list[Table]:
    """Render a description as tables for a terminal: the markets, then how alike they are."""
    markets = Table(title="Markets", **_STYLE)
    markets.add_column("market")
    for title in ("users", "items", "rows", "density", "rows per\nuser", "sold\nelsewhere"):
        markets.add_column(title, justify="right")
    markets.add_column("months")
    for name, entry in description.statistics.items():
        markets.add_row(
            name,
            f"{entry.users:,}",
            f"{entry.items:,}",
            f"{entry.interactions:,}",
            f"{entry.density:.3%}",
            f"{entry.interactions_per_user:.1f}",
            f"{entry.shared_items:.0%}",
            f"{entry.first_day[:7]} to {entry.last_day[:7]}"
            if entry.first_day and entry.last_day
            else "unknown",
        )
    names = description.markets
    return [
        markets,
        _matrix("Items in common", names, [[f"{n:,}" for n in row] for row in description.overlap]),
        _matrix("Items in common, as a share (Jaccard)", names, _decimals(description.jaccard)),
        _matrix("Purchases alike (cosine)", names, _decimals(description.cosine)),
    ]


def _decimals(values: NDArray[np.float64]) -> list[list[str]]:
    return [[f"{value:.2f}" for value in row] for row in values]


def _matrix(title: str, markets: tuple[str, ...], cells: list[list[str]]) -> Table:
    table = Table(title=title, **_STYLE)
    table.add_column("")
    for market in markets:
        table.add_column(market, justify="right")
    for market, row in zip(markets, cells, strict=True):
        table.add_row(market, *row)
    return table


def draw(description: Description, path: Path) -> None:
    """Draw item overlap and purchase similarity of the markets as two heat maps.

    Parameters
    ----------
    description : Description
        What to draw.
    path : Path
        File to write, `.svg` or `.png`; the same description gives the same bytes.

    Raises
    ------
    UsageError
        If the suffix is neither.
    """
    maps = similarity_maps(
        description.markets, description.overlap, description.jaccard, description.cosine
    )
    draw_heat_maps(maps, path)


def similarity_maps(
    markets: Sequence[str],
    overlap: NDArray[np.int64],
    jaccard: NDArray[np.float64],
    cosine: NDArray[np.float64],
) -> list[HeatMap]:
    """Heat maps of item overlap and purchase similarity; matrices as in `Description`."""
    shared = [[f"{count:,}" for count in row] for row in overlap]
    for row, column in np.argwhere(~np.eye(len(markets), dtype=bool)):
        shared[row][column] = f"{jaccard[row, column]:.0%}\n{shared[row][column]}"
    return [
        HeatMap(
            "Items in common",
            "share of the items of either market that both sell, and their number",
            jaccard,
            shared,
            markets,
            markets,
        ),
        HeatMap(
            "Purchases alike",
            "cosine similarity of how often each item was bought",
            cosine,
            _decimals(cosine),
            markets,
            markets,
        ),
    ]
