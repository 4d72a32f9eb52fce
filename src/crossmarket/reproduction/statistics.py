"""Tables that count the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.base import Setting
from crossmarket.data.readers import ReadResult
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.published import PublishedTable
from crossmarket.reproduction.measured import CELL_SCHEMA, Measured

#: A count of one market, or (for None) of all together; None where it has no meaning.
Count = Callable[[ReadResult, str | None], float | None]


def measure_statistics(table: PublishedTable, setting: Setting) -> Measured:
    """Counts of the data; a row that the data cannot answer stays empty."""
    cells = []
    for label, row in table.row_of.items():
        for column in table.columns if row.title in COUNTS else ():
            market = table.market_of.get(column)
            if market is None or market in setting.data.dataset.markets:
                value = COUNTS[row.title](setting.data, market)
                # Halves are drawn at random, so their sizes vary as a binomial count does.
                error = value**0.5 / 2**0.5 if value and row.title in _HALVES else None
                cells.append((label, "value", column, 0, value, error))
    found = pl.DataFrame(cells, schema=CELL_SCHEMA, orient="row")
    return Measured(found.drop_nulls("value"))


def _markets(data: ReadResult, market: str | None) -> float | None:
    return len(data.dataset.markets) if market is None else None


def _users(data: ReadResult, market: str | None) -> float:
    names = data.dataset.markets if market is None else (market,)
    return sum(len(data.dataset.users(name)) for name in names)


def _items(data: ReadResult, market: str | None) -> float:
    names = data.dataset.markets if market is None else (market,)
    return len(_sold(data, names))


def _sold(data: ReadResult, names: Sequence[str]) -> NDArray[np.int32]:
    """Items of some markets; those learned from, where the data bring a training part."""
    whole = data.dataset if data.parts is None else data.parts["train"]
    return np.unique(np.concatenate([whole.edges(name).items for name in names]))


def _rows(data: ReadResult, market: str | None, part: str = "") -> float:
    """Rows read, those that repeat others included, as the papers count them."""
    names = {report.name: report.counts.read for report in data.report.files}
    return sum(
        rows for name, rows in names.items() if name.startswith(market or "") and part in name
    )


def _average_length(data: ReadResult, market: str | None) -> float:
    if market is not None:
        return _rows(data, market) / _users(data, market)
    lengths = [_average_length(data, name) for name in data.dataset.markets]
    return sum(lengths) / len(lengths)


def _shared_items(data: ReadResult, market: str | None) -> float | None:
    if market is None:
        return None
    others = [name for name in data.dataset.markets if name != market]
    return float(np.isin(_sold(data, [market]), _sold(data, others)).mean())


def _held_out(part: str) -> Count:
    def count(data: ReadResult, market: str | None) -> float | None:
        if market is None or data.parts is None:
            return None
        split = Protocol(name="m3rec").split(data, 0)
        return len(getattr(split, part).edges(market))

    return count


#: Parts that the data's held-out users are halved into.
_HALVES = ("valid", "test")

#: What the rows of the papers' tables count, by their titles.
COUNTS: Mapping[str, Count] = {
    "markets": _markets,
    "users": _users,
    "items": _items,
    "unique items": _items,
    "ratings": _rows,
    "reviews": _rows,
    "average length": _average_length,
    "train": lambda data, market: _rows(data, market, "train"),
    "valid": _held_out("valid"),
    "test": _held_out("test"),
    "items shared with another market": _shared_items,
}
