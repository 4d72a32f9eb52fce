"""How good a run is: intervals over users, and paired tests against a control."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.data.splits import Split
from crossmarket.errors import DataError
from crossmarket.evaluation.evaluator import MarketEvaluation, evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.evaluation.significance import compare_paired, counts, holm, macro_values
from crossmarket.experiments.fitting import fit_target
from crossmarket.models.popularity import Popularity
from crossmarket.reporting.material import Evaluation

#: Names of the two means; no market hides behind them, they stand in rows of their own.
MACRO, MICRO = "macro", "micro"
#: Differences with a p-value below this are told as differences.
LEVEL = 0.05
#: Resamples of a bootstrap interval.
RESAMPLES = 2000

Floats = NDArray[np.float64]
Scope = Literal["market", "macro", "micro"]
Verdict = Literal["better", "worse", "level"]


@dataclass(frozen=True)
class Standing:
    """One metric of the run in one market, or its mean, beside a control's.

    Attributes
    ----------
    scope : {"market", "macro", "micro"}
        Whether `name` is a market's; macro is the mean over markets, micro over all users.
    name : str
        The market, or the scope.
    users : int
        Users it is a mean over.
    mean, low, high : float
        The run's mean and its 95 % bootstrap interval over users; NaN limits with one user.
    control : float
        Mean of the control in the same market.
    difference, difference_low, difference_high : float
        The run minus the control, with its 95 % interval.
    p_value : float
        Two-sided paired t-test over users; Holm-corrected over the markets of the metric.
    wins, ties, losses : int
        Users with whom the run does better than, as well as, worse than the control.
    """

    scope: Scope
    name: str
    users: int
    mean: float
    low: float
    high: float
    control: float
    difference: float
    difference_low: float
    difference_high: float
    p_value: float
    wins: int
    ties: int
    losses: int

    @property
    def verdict(self) -> Verdict:
        """What the test says at 5 %."""
        if not self.p_value < LEVEL:
            return "level"
        return "better" if self.difference > 0 else "worse"


def popularity_of(
    protocol: Protocol, split: Split, markets: Sequence[str]
) -> dict[str, MarketEvaluation]:
    """Rank by training counts of the same market under the same protocol."""
    return {
        market: evaluate_market(
            fit_target(lambda: Popularity.from_config({"markets": "target"}), protocol, split,
                       market),
            protocol, split, market,
        )
        for market in markets
    }  # fmt: skip


def standings(evaluation: Evaluation, control: pl.DataFrame) -> dict[str, tuple[Standing, ...]]:
    """Every metric in every market and over all of them, `[metric]` in the order markets, means.

    `control` has the metrics of the same users, as `Evaluation.per_user`. The macro interval and
    test let every market count alike, see `macro_values`.

    Raises
    ------
    DataError
        If the evaluation counted other users than its protocol counts now.
    """
    paired = _pair(evaluation, control)
    metrics, markets = evaluation.metrics, evaluation.markets
    parts: list[tuple[Scope, str, pl.DataFrame]] = [
        ("market", market, paired.filter(pl.col("market") == market)) for market in markets
    ]
    parts += [("macro", MACRO, paired), ("micro", MICRO, paired)]
    rows: dict[str, list[Standing]] = {metric: [] for metric in metrics}
    for scope, name, part in parts:
        for metric, standing in zip(metrics, _judge(scope, name, part, metrics), strict=True):
            told = evaluation.result["markets"][name] if scope == "market" else None
            mean = (told or evaluation.result[scope])[metric]
            rows[metric].append(replace(standing, mean=mean))
    return {metric: _corrected(own) for metric, own in rows.items()}


def _pair(evaluation: Evaluation, others: pl.DataFrame) -> pl.DataFrame:
    keys = ["market", "user_id"]
    paired = evaluation.per_user.join(others, on=keys, suffix="|control")
    if not paired.height == evaluation.per_user.height == others.height:
        raise DataError(
            f"the evaluation under {evaluation.protocol.label} counted other users than the "
            "stored split has; repeat `crossmarket evaluate`"
        )
    return paired.sort(keys)


def _judge(scope: Scope, name: str, part: pl.DataFrame, metrics: Sequence[str]) -> list[Standing]:
    own = np.stack([part[metric].to_numpy() for metric in metrics])
    others = np.stack([part[f"{metric}|control"].to_numpy() for metric in metrics])
    differences = own - others
    means, control, gains = own.mean(axis=1), others.mean(axis=1), differences.mean(axis=1)
    tested = np.concatenate([own, differences])
    if scope == "macro":
        markets = part["market"].to_numpy()
        own, others = macro_values(own, markets), macro_values(others, markets)
        means, control = own.mean(axis=1), others.mean(axis=1)
        gains, tested = means - control, np.concatenate([own, own - others])
    count = len(metrics)
    series = {str(place): row for place, row in enumerate(tested)}
    tests = compare_paired(np.zeros(part.height), series, resamples=RESAMPLES, signed_rank=False)
    return [
        Standing(
            scope, name, part.height,
            float(means[i]), tests[i].low, tests[i].high,
            float(control[i]),
            float(gains[i]), tests[count + i].low, tests[count + i].high,
            tests[count + i].p_value,
            *counts(differences[i]),
        )
        for i in range(count)
    ]  # fmt: skip


def _corrected(rows: Sequence[Standing]) -> tuple[Standing, ...]:
    """Holm's correction over the markets; each of the two means is one test."""
    adjusted = iter(holm([row.p_value for row in rows if row.scope == "market"]).tolist())
    return tuple(
        replace(row, p_value=next(adjusted)) if row.scope == "market" else row for row in rows
    )


def known(value: float) -> bool:
    """Whether a limit could be computed."""
    return math.isfinite(value)
