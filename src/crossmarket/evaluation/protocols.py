"""Named protocols: how to split, what to rank among, whom to count."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.sparse import csr_array

from crossmarket.data.changed_splits import drop_companions, launch_split, leaky_split
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.readers import ReadResult
from crossmarket.data.splits import (
    Split,
    given_split,
    leave_one_out_split,
    market_generator,
    ratio_split,
    time_split,
)
from crossmarket.errors import UsageError
from crossmarket.evaluation.leak import assert_no_leak
from crossmarket.metrics.held_out import HeldOut

#: Whose items sampled negatives come from: the user's market's, or those of all markets.
Pool = Literal["market", "union"]


@dataclass(frozen=True)
class _Kind:
    """What a protocol's name stands for."""

    summary: str
    split: Callable[[ReadResult, int, Protocol], Split]
    negatives: int | None = None
    pool: Pool = "market"
    leaks: bool = False


class Protocol(BaseModel):
    """A protocol and its options; results are comparable only where all of it agrees.

    Attributes
    ----------
    name : str
        `ratio-full`, `time-full`, `loo-99`, `loo-999`, `given-full`, a paper's own (`forec`,
        `acmr-market`, `acmr-union`, `m3rec`), `dcmpt-leaky`, or `launch@f` with the fraction f of
        the target's training interactions that is kept.
    history : {"train", "train+valid"}
        Interactions a model scores from at test; it always learns from training ones only.
    refit : bool
        After all choices are made on validation, learn once more from training + validation.
    cuts : (str, str), optional
        Dates of `time-full` (first day of validation, first day of test); the 80 % and 90 %
        quantiles of all interaction times by default.
    companions : {"keep", "drop"}
        Whether training may hold what a user took on the day of a held-out interaction; dropped,
        only users with a training interaction left are counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "ratio-full"
    history: Literal["train", "train+valid"] = "train"
    refit: bool = False
    cuts: tuple[str, str] | None = Field(default=None)
    companions: Literal["keep", "drop"] = "keep"

    @property
    def label(self) -> str:
        """Name with every option that is not the default, e.g. `time-full, refit`."""
        parts = [self.name]
        if self.cuts:
            parts.append(f"cuts={self.cuts[0]}..{self.cuts[1]}")
        if self.companions != "keep":
            parts.append("without companions")
        if self.refit:
            parts.append("refit")
        if self.history != "train":
            parts.append(f"history={self.history}")
        return ", ".join(parts)

    @property
    def key(self) -> dict[str, Any]:
        """The name and every option that is not the default, JSON-able."""
        return {"name": self.name, **self.model_dump(mode="json", exclude_defaults=True)}

    @property
    def fit_label(self) -> str:
        """File-safe name of what shapes a fit; runs that share it share their models."""
        parts = [self.name, *(self.cuts or ())]
        parts += ["without-companions"] if self.companions != "keep" else []
        parts += ["refit"] if self.refit else []
        return "-".join(parts).replace("@", "-")

    @property
    def evaluation_label(self) -> str:
        """File-safe name of an evaluation among those of the same fit."""
        return "evaluation" + ("" if self.history == "train" else f"-{self.history}")

    @property
    def leaks(self) -> bool:
        """Whether training is meant to hold held-out interactions, as in `dcmpt-leaky`."""
        return self._kind().leaks

    @property
    def launch_fraction(self) -> float | None:
        """Share of the target's training interactions that is kept, for `launch@f`."""
        match = re.fullmatch(r"launch@(\d*\.?\d+)", self.name)
        if match is None:
            return None
        fraction = float(match[1])
        if not 0 < fraction <= 1:
            raise UsageError(f"protocol {self.name!r}: the fraction must lie in (0, 1]")
        return fraction

    def require_known(self) -> Self:
        """Return the protocol itself if its name and options make sense.

        Raises
        ------
        UsageError
            Otherwise; the message lists the known names.
        """
        self._kind()
        if self.cuts is not None and self.name != "time-full":
            raise UsageError(f"cut dates belong to time-full, not to {self.name}")
        return self

    def _kind(self) -> _Kind:
        kind = KINDS.get("launch@f" if self.launch_fraction is not None else self.name)
        if kind is None:
            raise UsageError(f"unknown protocol {self.name!r}; choose from: {', '.join(KINDS)}")
        return kind

    def split(self, data: ReadResult, seed: int) -> Split:
        """Cut the data as this protocol says.

        Raises
        ------
        UsageError
            As `require_known`.
        DataError
            If the data lack what the protocol needs: times, parts, enough interactions.
        """
        split = self.require_known()._kind().split(data, seed, self)
        return split if self.companions == "keep" else drop_companions(split)

    def require_sound(self, split: Split) -> None:
        """Pass only a split without leak, unless the protocol is there to show one.

        Raises
        ------
        LeakError
            As `assert_no_leak`.
        """
        if not self.leaks:
            assert_no_leak(split)

    def for_target(self, split: Split, target: str) -> Split:
        """The split that a model for `target` learns from (`launch@f` thins the target)."""
        fraction = self.launch_fraction
        return split if fraction is None else launch_split(split, target, fraction)

    def held_out(self, split: Split, market: str) -> HeldOut:
        """Users, candidates and masks of a market at test.

        Every protocol masks what is known of the user beside the test part. `time-full`, and
        every protocol without companions, counts users with a training interaction only; the
        others count everyone with a test interaction.
        """
        train, kind = split.train.matrix(market), self._kind()
        warm = self.name == "time-full" or self.companions == "drop"
        return HeldOut(
            split.test.matrix(market),
            split.known(market),
            _pool(split, market, kind.pool),
            included=self.negatives(split, market),
            among=np.diff(train.indptr) > 0 if warm else None,
        )

    def negatives(self, split: Split, market: str) -> csr_array | None:
        """Sampled negatives of each user, sparse [users, items]; None where all items are ranked.

        The same split gives the same draw.
        """
        kind = self._kind()
        if kind.negatives is None:
            return None
        return sample_negatives(split, market, kind.negatives, kind.pool)

    def candidates_hash(self, split: Split) -> str:
        """SHA-256 (hex) of what is ranked for whom; equal hashes make results comparable."""
        digest = hashlib.sha256(self.label.encode())
        for market in split.test.markets:
            held_out = self.held_out(split, market)
            for array in held_out.arrays():
                digest.update(np.ascontiguousarray(array).astype(np.int64).tobytes())
        return digest.hexdigest()


def _pool(split: Split, market: str, pool: Pool) -> NDArray[np.int32]:
    """Sorted item rows that candidates come from."""
    if pool == "market":
        return split.train.catalogue(market)
    return np.unique(np.concatenate([split.train.catalogue(name) for name in split.train.markets]))


def sample_negatives(split: Split, market: str, count: int, pool: Pool = "market") -> csr_array:
    """Draw each test user's negatives: items the user never interacted with.

    Parameters
    ----------
    count : int
        Negatives of a user; all there are where the pool has fewer.
    pool : {"market", "union"}
        Whose items to draw from.

    Returns
    -------
    sparse float32 [users, items]; the same split gives the same draw.
    """
    catalogue = _pool(split, market, pool)
    known = split.known(market) + split.test.matrix(market)
    users = np.unique(split.test.edges(market).users)
    generator = market_generator(split.seed + 2, market)
    rows: list[NDArray[np.int64]] = []
    columns: list[NDArray[np.int32]] = []
    for user, taken in zip(users, known.tocsr()[users][:, catalogue].toarray() > 0, strict=True):
        free = catalogue[~taken]
        drawn = generator.choice(free, size=min(count, len(free)), replace=False)
        rows.append(np.full(len(drawn), user))
        columns.append(drawn)
    if not rows:
        return csr_array(known.shape, dtype=np.float32)
    flat = (np.concatenate(rows), np.concatenate(columns))
    return csr_array((np.ones(len(flat[0]), dtype=np.float32), flat), shape=known.shape)


def with_validation(split: Split) -> MarketDataset:
    """Training and validation interactions together, as a history to score from."""
    return split.refit().train


#: Every protocol name with what it means.
KINDS: dict[str, _Kind] = {
    "ratio-full": _Kind(
        "80/10/10 of each market's interactions at random; the whole catalogue is ranked",
        lambda data, seed, _: ratio_split(data.dataset, seed=seed),
    ),
    "time-full": _Kind(
        "one pair of cut dates for all markets; the whole catalogue is ranked",
        lambda data, seed, own: time_split(data.dataset, seed=seed, cuts=own.cuts),
    ),
    "loo-99": _Kind(
        "last interaction of a user against 99 unseen items of the market",
        lambda data, seed, _: leave_one_out_split(data.dataset, seed=seed),
        negatives=99,
    ),
    "loo-999": _Kind(
        "last interaction of a user against 999 unseen items of the market",
        lambda data, seed, _: leave_one_out_split(data.dataset, seed=seed),
        negatives=999,
    ),
    "forec": _Kind(
        "FOREC: the last interaction of a user against 99 unseen items of the market, as loo-99",
        lambda data, seed, _: leave_one_out_split(data.dataset, seed=seed),
        negatives=99,
    ),
    "acmr-market": _Kind(
        "ACMR: any interaction of a user, at random, against 99 unseen items of the market",
        lambda data, seed, _: leave_one_out_split(data.dataset, seed=seed, order="random"),
        negatives=99,
    ),
    "acmr-union": _Kind(
        "ACMR's code: as acmr-market, against 99 unseen items of all markets together",
        lambda data, seed, _: leave_one_out_split(data.dataset, seed=seed, order="random"),
        negatives=99,
        pool="union",
    ),
    "m3rec": _Kind(
        "M3Rec: the parts the data came with, against 999 unseen items of the market",
        lambda data, seed, _: given_split(data.parts or {}, seed=seed),
        negatives=999,
    ),
    "launch@f": _Kind(
        "ratio-full with only the fraction f of the target's training interactions",
        lambda data, seed, _: ratio_split(data.dataset, seed=seed),
    ),
    "dcmpt-leaky": _Kind(
        "ratio-full with most test interactions planted in training, to show what a leak is worth",
        lambda data, seed, _: leaky_split(data.dataset, seed=seed),
        leaks=True,
    ),
    "given-full": _Kind(
        "the parts the data came with; the whole catalogue is ranked",
        lambda data, seed, _: given_split(data.parts or {}, seed=seed),
    ),
}
