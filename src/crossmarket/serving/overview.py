"""What the markets of a snapshot have in common, and what is known of their quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from crossmarket.artifact.forms.vectors import VectorForm
from crossmarket.artifact.market import Market
from crossmarket.data.resemblance import resemblance
from crossmarket.metrics.components import Floats, principal_components
from crossmarket.serving.answering import facts
from crossmarket.serving.snapshot import Snapshot

_DECIMALS = 6


class _Evaluation(BaseModel):
    """What `evaluate` leaves with a market; whoever wrote the folder may have written more."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, allow_inf_nan=False)

    protocol: str
    seed: int
    metrics: dict[str, float | None]
    alone: dict[str, float | None] | None = None


class Overviews:
    """The overview of the latest snapshot, computed once."""

    def __init__(self) -> None:
        self._last: tuple[Snapshot, dict[str, Any]] | None = None

    def of(self, now: Snapshot) -> dict[str, Any]:
        """The overview of a snapshot; see `overview`."""
        last = self._last
        if last is None or last[0] is not now:
            last = self._last = (now, overview(now))
        return last[1]


def overview(now: Snapshot) -> dict[str, Any]:
    """All that the explorer shows of markets side by side, JSON-able.

    Returns
    -------
    `markets` (as `described`, with `quality`), names of `unavailable` ones, `overlap`, `jaccard`
    and `cosine` of every pair in the order of the markets, and the maps `prompts` and `banks`.
    """
    markets = tuple(now.markets.values())
    sold = np.zeros((len(markets), len(markets[0].vocabulary) if markets else 0), dtype=np.int64)
    bought = np.zeros(sold.shape)
    for row, market in enumerate(markets):
        sold[row, market.catalogue] = 1
        bought[row, market.catalogue] = market.popularity
    alike = resemblance(sold, bought)
    return {
        "markets": [{**described(now, one), "quality": quality(one)} for one in markets],
        "unavailable": sorted(now.unavailable),
        "overlap": alike.overlap.tolist(),
        "jaccard": alike.jaccard.round(_DECIMALS).tolist(),
        "cosine": alike.cosine.round(_DECIMALS).tolist(),
        "prompts": prompt_map(markets),
        "banks": bank_map(markets),
    }


def described(now: Snapshot, market: Market) -> dict[str, Any]:
    """What a market is, and which versions of it can answer, the served one first."""
    return {**facts(market), "versions": [one.version for one in now.versions(market.name)]}


def quality(market: Market) -> dict[str, Any] | None:
    """What was measured of a market; None where nothing was.

    Returns
    -------
    `protocol`, `seed`, `metrics` (name to mean over users), and `gain`: where the folder holds the
    metrics of the same system learned from this market `alone`, the difference to them by metric;
    None where it does not.
    """
    try:
        found = _Evaluation.model_validate(market.metrics)
    except ValidationError:
        return None
    metrics = {name: value for name, value in found.metrics.items() if value is not None}
    gain = None
    if found.alone is not None:
        both = {name: found.alone.get(name) for name in metrics if name != "users"}
        gain = {name: metrics[name] - value for name, value in both.items() if value is not None}
    return {"protocol": found.protocol, "seed": found.seed, "metrics": metrics, "gain": gain}


def prompt_map(markets: Sequence[Market]) -> dict[str, Any] | None:
    """Every basis prompt of every market as a point; None without prompts.

    Returns
    -------
    `explained`, the share of all prompts' variance along either axis (null where they do not
    differ), and `points` by market: the first two principal components of all prompts together.
    """
    banks = _banks(markets)
    if sum(map(len, banks.values())) < 2 or len({bank.shape[1] for bank in banks.values()}) > 1:
        return None
    points, explained = principal_components(np.concatenate(list(banks.values())))
    ends = np.cumsum([len(bank) for bank in banks.values()])[:-1]
    return _map(explained, dict(zip(banks, np.split(points, ends), strict=True)))


def bank_map(markets: Sequence[Market]) -> dict[str, Any] | None:
    """Every market's whole bank of prompts as one point; None where they cannot be compared.

    Returns
    -------
    As `prompt_map`, with one point for each market.
    """
    banks = _banks(markets)
    if len(banks) < 2 or len({bank.shape for bank in banks.values()}) > 1:
        return None
    points, explained = principal_components(np.stack([bank.ravel() for bank in banks.values()]))
    return _map(explained, dict(zip(banks, points[:, None], strict=True)))


def _banks(markets: Sequence[Market]) -> dict[str, Floats]:
    return {
        market.name: market.form.prompts.basis.astype(np.float64)
        for market in markets
        if isinstance(market.form, VectorForm) and market.form.prompts is not None
    }


def _map(explained: Floats, points: dict[str, NDArray[np.float64]]) -> dict[str, Any]:
    return {
        "explained": [None if np.isnan(share) else float(share) for share in explained],
        "points": {name: own.round(_DECIMALS).tolist() for name, own in points.items()},
    }
