"""Cutting the interactions into training, validation and test parts.

Every split is made before anything looks at the data: graphs, counts and teachers see the training
part only. All three parts share vocabularies and catalogues, so rows mean the same in each.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from crossmarket.data.dataset import Edges, MarketDataset
from crossmarket.errors import DataError, UsageError


@dataclass(frozen=True)
class Split:
    """Three disjoint parts of one data set.

    Attributes
    ----------
    name : str
        The rule that made it, e.g. `ratio`.
    seed : int
        Seed of its random choices (kept also where the rule makes none).
    details : dict
        The rule's settings and what it counted; JSON-able.
    train, valid, test : MarketDataset
        The parts, over shared vocabularies and catalogues.
    set_aside : MarketDataset, optional
        Interactions that belong to no part: not learned from, not tested, never candidates.
    """

    name: str
    seed: int
    details: dict[str, Any]
    train: MarketDataset
    valid: MarketDataset
    test: MarketDataset
    set_aside: MarketDataset | None = None

    def known(self, market: str) -> csr_array:
        """Interactions of a market outside its test part, sparse float32 [users, items].

        An interaction that a part leaks into test is a test interaction here.
        """
        parts = [self.train, self.valid, *([self.set_aside] if self.set_aside else [])]
        return without(sum_of([part.matrix(market) for part in parts]), self.test.matrix(market))

    def select_markets(self, markets: Sequence[str]) -> Split:
        """The parts of some markets only, over the same items."""
        aside = self.set_aside
        return replace(
            self,
            train=self.train.select_markets(markets),
            valid=self.valid.select_markets(markets),
            test=self.test.select_markets(markets),
            set_aside=None if aside is None else aside.select_markets(markets),
        )

    def refit(self) -> Split:
        """Move the validation part into training (for a last fit with settled choices)."""
        merged = {
            market: merge_edges(self.train.edges(market), self.valid.edges(market))
            for market in self.train.markets
        }
        nothing = {
            market: self.valid.edges(market).select(slice(0, 0)) for market in self.train.markets
        }
        details = {key: value for key, value in self.details.items() if key != "valid_from"}
        return replace(
            self,
            details={**details, "refit": True},
            train=self.train.replace_edges(merged),
            valid=self.valid.replace_edges(nothing),
        )

    def counts(self) -> dict[str, dict[str, int]]:
        """Interactions of each part in each market."""
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {
            market: {name: len(part.edges(market)) for name, part in parts.items()}
            for market in self.train.markets
        }


def sum_of(matrices: Sequence[csr_array]) -> csr_array:
    """Add sparse matrices of one shape."""
    total = matrices[0]
    for matrix in matrices[1:]:
        total = (total + matrix).tocsr()
    return total


def without(matrix: csr_array, taken: csr_array) -> csr_array:
    """A sparse matrix without the entries that another one has, too."""
    common = matrix.multiply(taken != 0)
    if not common.nnz:
        return matrix
    kept = (matrix - common).tocsr()
    kept.eliminate_zeros()
    return kept


def market_generator(seed: int, market: str) -> np.random.Generator:
    """Random stream of one market: it does not change when other markets come or go."""
    return np.random.default_rng([seed, zlib.crc32(market.encode())])


def merge_edges(first: Edges, second: Edges) -> Edges:
    """Unite two sets of edges in canonical order; a pair that is in both is there once."""
    users = np.concatenate([first.users, second.users])
    items = np.concatenate([first.items, second.items])
    order = np.lexsort((items, users))
    weights = np.concatenate([first.weights, second.weights])
    timestamps = np.concatenate([first.timestamps, second.timestamps])
    same = (np.diff(users[order]) == 0) & (np.diff(items[order]) == 0)
    order = order[np.concatenate([[True], ~same])[: len(order)]]
    return Edges(users[order], items[order], weights[order], timestamps[order])


def _split_by(
    dataset: MarketDataset,
    name: str,
    seed: int,
    details: dict[str, Any],
    label: Callable[[str, Edges], NDArray[np.int8]],
) -> Split:
    """Send each edge to the part (0 train, 1 valid, 2 test) that `label` gives it."""
    parts: list[dict[str, Edges]] = [{}, {}, {}]
    for market in dataset.markets:
        edges = dataset.edges(market)
        labels = label(market, edges)
        for part, selected in enumerate(parts):
            selected[market] = edges.select(labels == part)
    split = Split(name, seed, details, *(dataset.replace_edges(part) for part in parts))
    for market in dataset.markets:
        if not len(split.train.edges(market)):
            raise DataError(
                f"the {name} split leaves market {market!r} without training interactions; "
                "give it more data or leave the market out"
            )
    return split


def ratio_split(
    dataset: MarketDataset, *, seed: int = 0, valid: float = 0.1, test: float = 0.1
) -> Split:
    """Split each market's interactions at random, by default 80/10/10.

    Parameters
    ----------
    seed : int
        Seed of the draw; each market has its own stream.
    valid, test : float
        Shares of the interactions; what rounding leaves over goes to test.
    """
    if valid < 0 or test < 0 or valid + test >= 1:
        raise UsageError(
            f"valid={valid} and test={test} leave nothing to train on; their sum must be below 1"
        )

    def label(market: str, edges: Edges) -> NDArray[np.int8]:
        return ratio_labels(len(edges), market_generator(seed, market), valid, test)

    return _split_by(dataset, "ratio", seed, {"valid": valid, "test": test}, label)


def ratio_labels(
    count: int, generator: np.random.Generator, valid: float = 0.1, test: float = 0.1
) -> NDArray[np.int8]:
    """Part of each of `count` interactions, drawn at random: 0 train, 1 valid, 2 test."""
    train_end = max(int(round(1 - valid - test, 12) * count), 1)
    labels = np.zeros(count, dtype=np.int8)
    order = generator.permutation(count)
    labels[order[train_end:]] = 1
    labels[order[train_end + int(valid * count) :]] = 2
    return labels


def leave_one_out_split(
    dataset: MarketDataset, *, seed: int = 0, order: str = "time", min_interactions: int = 3
) -> Split:
    """Hold out two interactions of each user: one for test, one for validation.

    Parameters
    ----------
    seed : int
        Decides the random order, and ties between equal times.
    order : {"time", "random"}
        Hold out the last two by time, or any two.
    min_interactions : int
        Users with fewer interactions stay wholly in training.
    """
    if order not in ("time", "random"):
        raise UsageError(f"unknown leave-one-out order {order!r}; choose time or random")
    if order == "time":
        require_times(dataset, "leave-one-out by time")

    def label(market: str, edges: Edges) -> NDArray[np.int8]:
        chance = market_generator(seed, market).random(len(edges))
        times = edges.timestamps if order == "time" else np.zeros(len(edges), dtype=np.int64)
        ranked = np.lexsort((chance, times, edges.users))
        counts = np.bincount(edges.users)
        last = np.cumsum(counts)[counts >= min_interactions] - 1
        labels = np.zeros(len(edges), dtype=np.int8)
        labels[ranked[last - 1]] = 1
        labels[ranked[last]] = 2
        return labels

    details = {"order": order, "min_interactions": min_interactions}
    return _split_by(dataset, "leave-one-out", seed, details, label)


def time_split(
    dataset: MarketDataset,
    *,
    seed: int = 0,
    quantiles: tuple[float, float] = (0.8, 0.9),
    cuts: tuple[str, str] | None = None,
) -> Split:
    """Split all markets at one pair of dates: train before, validate between, test after.

    Parameters
    ----------
    seed : int
        Kept with the split; nothing here is random.
    quantiles : (float, float)
        Quantiles of all interaction times, of all markets together, where the cuts fall. An
        interaction at a cut belongs to the earlier part.
    cuts : (str, str), optional
        ISO dates to use instead: first day of validation and first day of test.
    """
    require_times(dataset, "a time split")
    if cuts is not None:
        valid_from, test_from = (_seconds(cut) for cut in cuts)
        if valid_from > test_from:
            raise UsageError(f"validation starts at {cuts[0]}, after test at {cuts[1]}; swap them")
    else:
        if not 0 < quantiles[0] <= quantiles[1] < 1:
            raise UsageError(f"quantiles {quantiles} must rise and lie between 0 and 1")
        times = np.concatenate([dataset.edges(market).timestamps for market in dataset.markets])
        lower, upper = np.quantile(times, quantiles, method="lower")
        valid_from, test_from = int(lower) + 1, int(upper) + 1

    def label(market: str, edges: Edges) -> NDArray[np.int8]:
        late = (edges.timestamps >= valid_from).astype(np.int8)
        return late + (edges.timestamps >= test_from).astype(np.int8)

    details = {
        "valid_from": valid_from,
        "test_from": test_from,
        "valid_from_date": _date(valid_from),
        "test_from_date": _date(test_from),
    }
    return _split_by(dataset, "time", seed, details, label)


def given_split(parts: Mapping[str, MarketDataset], *, seed: int = 0) -> Split:
    """Use the parts that the data came with.

    Parameters
    ----------
    parts : mapping
        `train`, `valid` and `test` over shared vocabularies. Where `test` is missing the users of
        `valid` are halved at random (as M3Rec does with the WSDM files).
    """
    if "train" not in parts or "valid" not in parts:
        raise DataError("these data bring no train and valid parts; choose a protocol that splits")
    train, valid = parts["train"], parts["valid"]
    if "test" in parts:
        return Split("given", seed, {"halved": False}, train, valid, parts["test"])
    first: dict[str, Edges] = {}
    second: dict[str, Edges] = {}
    for market in valid.markets:
        edges = valid.edges(market)
        users = np.unique(edges.users)
        chosen = market_generator(seed, market).permutation(users)[: len(users) // 2]
        picked = np.isin(edges.users, chosen)
        first[market], second[market] = edges.select(picked), edges.select(~picked)
    return Split(
        "given",
        seed,
        {"halved": True},
        train,
        valid.replace_edges(first),
        valid.replace_edges(second),
    )


def require_times(dataset: MarketDataset, what: str) -> None:
    """Refuse data with an interaction of unknown time; `what` is what needs the times."""
    for market in dataset.markets:
        if not dataset.is_timed(market):
            raise DataError(
                f"{what} needs the time of every interaction and market {market!r} lacks some; "
                "map a timestamp column or choose a protocol without time"
            )


def _seconds(date: str) -> int:
    try:
        moment = datetime.fromisoformat(date)
    except ValueError as error:
        raise UsageError(f"{date!r} is not an ISO date such as 2019-09-28") from error
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
