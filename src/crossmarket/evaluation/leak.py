"""The proof that no held-out interaction is in a part of the split that a model may look at."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError, LeakError, UsageError

if TYPE_CHECKING:
    from crossmarket.data.splits import Split

PARTS = ("train", "valid", "test")

#: Columns of a table of leaks, all strings.
LEAK_SCHEMA = {name: pl.String() for name in ("market", "user_id", "item_id", "part_a", "part_b")}


def find_leaks(split: Split) -> pl.DataFrame:
    """Every interaction that is in two parts of a split, or on the wrong side of its dates.

    Parameters
    ----------
    split : Split
        Or any object with `train`, `valid` and `test` data sets over shared vocabularies. Where
        its `details` hold whole numbers `valid_from` and `test_from` (or `test_from` alone, as
        after merging validation into training), the dates are checked by `find_time_leaks`.

    Returns
    -------
    polars.DataFrame
        Columns `market, user_id, item_id, part_a, part_b`, one row for each interaction and pair
        of parts that share it; `part_b` is `time` where a date is broken. Empty if all is well.

    Raises
    ------
    UsageError
        If the parts do not share their vocabularies.
    """
    parts = _parts(split)
    found = [pl.DataFrame(schema=LEAK_SCHEMA)]
    for part_a, part_b in combinations(PARTS, 2):
        for market in _shared_markets(parts[part_a], parts[part_b]):
            common = np.intersect1d(
                _pair_keys(parts[part_a], market), _pair_keys(parts[part_b], market)
            )
            found.append(_table(parts[part_a], market, common, part_a, part_b))
    details = getattr(split, "details", {})
    valid_from, test_from = details.get("valid_from"), details.get("test_from")
    if isinstance(test_from, int):
        bound = valid_from if isinstance(valid_from, int) else None
        found.append(find_time_leaks(split, bound, test_from))
    return pl.concat(found)


def find_time_leaks(split: Split, valid_from: int | None, test_from: int) -> pl.DataFrame:
    """Interactions on the wrong side of a global time split's dates.

    Right is: train before `valid_from`, valid from there to before `test_from`, test from there
    on. So a training interaction at or after `valid_from` is found, and a test interaction that
    the training part may already be later than.

    Parameters
    ----------
    split : Split
        Or any object with `train`, `valid` and `test` data sets.
    valid_from, test_from : int
        Seconds since 1970-01-01 UTC. Without `valid_from` both train and valid must only lie
        before `test_from`.

    Returns
    -------
    polars.DataFrame
        Columns as for `find_leaks`; `part_a` is where the interaction is, `part_b` is `time`.

    Raises
    ------
    DataError
        If an interaction has no time, so that nothing can be proven.
    """
    held_from = test_from if valid_from is None else valid_from
    windows = {
        "train": (None, held_from),
        "valid": (valid_from, test_from),
        "test": (test_from, None),
    }
    found = [pl.DataFrame(schema=LEAK_SCHEMA)]
    for name, part in _parts(split).items():
        earliest, end = windows[name]
        for market in part.markets:
            times = part.edges(market).timestamps
            if not part.is_timed(market):
                raise DataError(
                    f"the {name} part of market {market!r} has interactions without a time, so "
                    "its dates cannot be checked; map a timestamp column or split without time"
                )
            wrong = np.zeros(len(times), dtype=np.bool_)
            if earliest is not None:
                wrong |= times < earliest
            if end is not None:
                wrong |= times >= end
            keys = _pair_keys(part, market)[wrong]
            found.append(_table(part, market, keys, name, "time"))
    return pl.concat(found)


def assert_no_leak(split: Split) -> None:
    """Pass only a split in which `find_leaks` finds nothing.

    Raises
    ------
    LeakError
        Otherwise; the message counts the leaks and gives the first.
    """
    leaks = find_leaks(split)
    if leaks.is_empty():
        return
    market, user, item, part_a, part_b = leaks.row(0)
    fault = (
        f"is in {part_a} on the wrong side of the split's dates"
        if part_b == "time"
        else f"is in both {part_a} and {part_b}"
    )
    raise LeakError(
        f"the split leaks {len(leaks)} interaction(s), e.g. item {item!r} of user {user!r} in "
        f"market {market!r} {fault}; split the data again, or remove these rows from {part_a}"
    )


def _parts(split: Split) -> dict[str, MarketDataset]:
    parts: dict[str, MarketDataset] = {name: getattr(split, name) for name in PARTS}
    for part_a, part_b in combinations(PARTS, 2):
        first, second = parts[part_a], parts[part_b]
        if first.items != second.items or any(
            first.users(market) != second.users(market) for market in _shared_markets(first, second)
        ):
            raise UsageError(
                f"{part_a} and {part_b} number their users or items differently; "
                "build the parts from one data set with replace_edges"
            )
    return parts


def _shared_markets(first: MarketDataset, second: MarketDataset) -> list[str]:
    return [market for market in first.markets if market in second.markets]


def _pair_keys(part: MarketDataset, market: str) -> NDArray[np.int64]:
    """One number for each (user, item) pair of the market's edges."""
    edges = part.edges(market)
    return edges.users.astype(np.int64) * len(part.items) + edges.items


def _table(
    part: MarketDataset, market: str, keys: NDArray[np.int64], part_a: str, part_b: str
) -> pl.DataFrame:
    users, items = np.divmod(keys, max(len(part.items), 1))
    columns = {
        "user_id": part.users(market).take(users),
        "item_id": part.items.take(items),
    }
    return pl.DataFrame(columns, schema_overrides=LEAK_SCHEMA).select(
        pl.lit(market).alias("market"),
        "user_id",
        "item_id",
        pl.lit(part_a).alias("part_a"),
        pl.lit(part_b).alias("part_b"),
    )
