"""Whether a published row, and what a paper concludes from it, holds on what was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from crossmarket.evaluation.significance import Comparison, Floats, compare_paired
from crossmarket.experiments.published import Claim, PublishedTable
from crossmarket.experiments.published_rows import PublishedRow
from crossmarket.reproduction.measured import Measured

Word = Literal["holds", "does not hold", "undecided", "cannot be compared"]

#: A cell agrees when the two numbers differ by no more than this many standard errors of a
#: difference between two such measurements.
ERRORS = 1.96
#: Share of the cells (or of the comparisons of a claim) that must agree.
MOST = 0.75
#: Counts agree to this share of their value, which is what rounding in print leaves open.
ROUNDING = 0.005


@dataclass(frozen=True)
class Verdict:
    """A word on a row or a claim, and the sentence that explains it."""

    word: Word
    reason: str


def with_verdicts(table: PublishedTable, measured: Measured) -> pl.DataFrame:
    """Published and measured cells side by side.

    Returns
    -------
    `group, row, metric, column, published, measured, std, error, seeds, difference, agrees`: the
    mean over seeds, the deviation between them (null with one), the standard error over users
    (their mean), the measured minus the published, and whether that is noise; nulls where nothing
    was measured. Cells that are neither printed nor measured are left out.
    """
    cells = measured.summary()
    published = table.frame().rename({"value": "published"})
    joined = published.join(
        cells, on=["row", "metric", "column"], how="left", maintain_order="left"
    ).filter(pl.any_horizontal(pl.col("published", "measured").is_not_null()))
    noise = (pl.col("std").fill_null(0).pow(2) + pl.col("error").fill_null(0).pow(2)).sqrt()
    allowed = ERRORS * math.sqrt(2) * noise
    if table.kind == "statistics":
        allowed = pl.max_horizontal(allowed, pl.col("published").abs() * ROUNDING)
    difference = pl.col("measured") - pl.col("published")
    return joined.with_columns(
        difference.alias("difference"), (difference.abs() <= allowed).alias("agrees")
    )


def judge_row(table: PublishedTable, row: PublishedRow, cells: pl.DataFrame) -> Verdict:
    """The verdict on one row, from its cells in `with_verdicts`."""
    if row.unmeasured is not None:
        return Verdict("cannot be compared", row.unmeasured)
    known = cells.drop_nulls("measured")
    if known.is_empty():
        return Verdict("cannot be compared", "Nothing was measured for it.")
    if table.comparable is not None:
        return Verdict("cannot be compared", table.comparable)
    known = known.drop_nulls("published")
    if known.is_empty():
        return Verdict("cannot be compared", "The paper prints no number for it.")
    agreeing, total = int(known["agrees"].sum()), known.height
    if agreeing >= MOST * total:
        return Verdict("holds", f"{agreeing} of {total} cells agree.")
    higher = int((known["difference"] > 0).sum())
    return Verdict(
        "does not hold",
        f"{agreeing} of {total} cells agree; measured is higher in {higher}.",
    )


def judge_claims(
    table: PublishedTable, measured: Measured
) -> list[tuple[Verdict, list[dict[str, Any]]]]:
    """The verdict on each claim, and a record for each row that is said to be beaten.

    A claim holds if the better row is ahead in most columns and, where users are known, the
    interval of its mean gain over all of them lies above 0; it does not if it is ahead in no more
    than half of them, or some row is clearly ahead of it: the interval lies below 0 or, where the
    claim names its margin, that row is ahead by more everywhere; otherwise it is undecided. What
    is said of the reference of gains is judged by the levels behind them, market by market.
    """
    cases = [_case(table, claim, measured) for claim in table.claims]
    return [_judge(case, tests) for case, tests in zip(cases, _paired(cases), strict=True)]


@dataclass(frozen=True)
class _Case:
    """A claim with what it is judged by; `shared` are its columns, by the row to be beaten."""

    claim: Claim
    measured: Measured
    means: Mapping[tuple[str, str], float]
    shared: Mapping[str, list[str]]


def _case(table: PublishedTable, claim: Claim, measured: Measured) -> _Case:
    if measured.levels is not None and table.reference_title in (claim.better, *claim.than):
        measured = measured.levels
    means = _means(measured, claim.metric)
    named = claim.columns or sorted({column for _, column in means})
    columns = [column for column in named if (claim.better, column) in means]
    shared = {
        other: [column for column in columns if (other, column) in means]
        for other in table.beaten(claim)
    }
    return _Case(claim, measured, means, {other: both for other, both in shared.items() if both})


def _judge(case: _Case, tests: Mapping[str, Comparison]) -> tuple[Verdict, list[dict[str, Any]]]:
    claim = case.claim
    records = [
        _against(claim, other, both, case.means, tests.get(other))
        for other, both in case.shared.items()
    ]
    if not records:
        return Verdict("cannot be compared", "The rows it speaks of were not measured."), []
    ahead = sum(record["ahead"] for record in records)
    total = sum(record["columns"] for record in records)
    lows = [record["low"] for record in records if record["low"] is not None]
    beaten = any(
        claim.margin is not None and record["behind"] == record["columns"]
        if record["high"] is None
        else record["high"] < 0
        for record in records
    )
    reason = _explain(claim, records, ahead, total)
    if ahead >= MOST * total and all(low > 0 for low in lows):
        return Verdict("holds", reason), records
    if ahead <= total / 2 or beaten:
        return Verdict("does not hold", reason), records
    return Verdict("undecided", reason), records


def _explain(claim: Claim, records: Sequence[Mapping[str, Any]], ahead: int, total: int) -> str:
    """What a claim's verdict rests on, in a sentence."""
    by = f" by more than {100 * claim.margin:g} %" if claim.margin else ""
    start = f"Ahead{by} in {ahead} of {total}"
    if len(records) > 1:
        clear = sum(record["low"] is not None and record["low"] > 0 for record in records)
        tested = f"; its gain over all users is above 0 against {clear} of {len(records)} rows"
        known = any(record["low"] is not None for record in records)
        return f"{start} comparisons{tested if known else ''}."
    (record,) = records
    start += " columns"
    if record["low"] is None:
        return f"{start}."
    interval = f"95 % interval {record['low']:+.4f} to {record['high']:+.4f}"
    return f"{start}; mean gain over all users {record['user_gain']:+.4f}, {interval}."


def _means(measured: Measured, metric: str) -> Mapping[tuple[str, str], float]:
    cells = measured.cells.filter(pl.col("metric") == metric)
    means = cells.group_by("row", "column").agg(pl.col("value").mean())
    return {(row, column): value for row, column, value in means.iter_rows()}


def _against(
    claim: Claim,
    other: str,
    columns: list[str],
    means: Mapping[tuple[str, str], float],
    found: Comparison | None,
) -> dict[str, Any]:
    sign = -1 if claim.lower else 1
    gains = [sign * (means[claim.better, column] - means[other, column]) for column in columns]
    margins = [(claim.margin or 0) * abs(means[other, column]) for column in columns]
    return {
        "than": other,
        "ahead": sum(gain > by for gain, by in zip(gains, margins, strict=True)),
        "behind": sum(gain < -by for gain, by in zip(gains, margins, strict=True)),
        "columns": len(columns),
        "mean_gain": float(np.mean(gains)),
        "user_gain": None if found is None else found.mean_difference,
        "low": None if found is None else found.low,
        "high": None if found is None else found.high,
        "p": None if found is None else found.p_value,
        "effect_size": None if found is None else found.effect_size,
    }


def _paired(cases: Sequence[_Case]) -> list[dict[str, Comparison]]:
    """The better row of each case against each other over all users, by the other's label.

    A user's value is the mean over the seeds in common. Whatever has the same users is tested in
    one call, which draws the resamples once for all.
    """
    found: list[dict[str, Comparison]] = [{} for _ in cases]
    families: list[tuple[pl.DataFrame, dict[tuple[int, str], Floats]]] = []
    for place, case in enumerate(cases):
        for other, columns in case.shared.items():
            gained = _gains(case, other, columns)
            if gained is None:
                continue
            people, gains = gained.select("column", "user_id"), gained["gain"].to_numpy()
            for known, members in families:
                if known.equals(people):
                    members[place, other] = gains
                    break
            else:
                families.append((people, {(place, other): gains}))
    for known, members in families:
        values = {f"{place} {other}": gains for (place, other), gains in members.items()}
        tests = compare_paired(np.zeros(known.height), values, signed_rank=False)
        for (place, other), test in zip(members, tests, strict=True):
            found[place][other] = test
    return found


def _gains(case: _Case, other: str, columns: Sequence[str]) -> pl.DataFrame | None:
    """`column, user_id, gain` of a claim's better row over another; None without users."""
    users, claim = case.measured.per_user, case.claim
    if users is None or claim.metric not in users.columns:
        return None
    keys = ["column", "seed", "user_id"]
    values = users.filter(pl.col("column").is_in(columns)).select(
        "row", *keys, pl.col(claim.metric).alias("value")
    )
    better, than = (
        values.filter(pl.col("row") == label).drop("row") for label in (claim.better, other)
    )
    both = better.join(than, on=keys, suffix="_other")
    gains = both.group_by("column", "user_id").agg(
        (pl.col("value").mean() - pl.col("value_other").mean()).alias("gain")
    )
    return gains.sort("column", "user_id") if gains.height else None
