"""What a report computes from an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from crossmarket.reporting.groups import item_groups, user_groups
from crossmarket.reporting.material import Evaluation, Fitted
from crossmarket.reporting.quality import Standing, popularity_of, standings


@dataclass(frozen=True, eq=False)
class Results:
    """An evaluation beside popularity.

    Attributes
    ----------
    evaluation : Evaluation
        The run's own.
    standings : mapping of metric to its rows
        As `standings`, beside popularity.
    gains : mapping of metric to its rows, or None
        As `standings`, beside the same system learned from each market alone.
    interactions : dict of market to int
        Training interactions of each market.
    users : polars.DataFrame
        As `user_groups`.
    items : polars.DataFrame
        As `item_groups`.
    """

    evaluation: Evaluation
    standings: Mapping[str, tuple[Standing, ...]]
    gains: Mapping[str, tuple[Standing, ...]] | None
    interactions: dict[str, int]
    users: pl.DataFrame
    items: pl.DataFrame


def compute_results(fitted: Fitted) -> list[Results]:
    """Set every evaluation of a protocol beside popularity."""
    results = []
    for evaluation in fitted.evaluations:
        protocol, split = evaluation.protocol, fitted.split
        control = popularity_of(protocol, split, evaluation.markets)
        sizes = {
            market: len(protocol.for_target(split, market).train.edges(market))
            for market in evaluation.markets
        }
        results.append(
            Results(
                evaluation,
                standings(evaluation, pl.concat([one.per_user for one in control.values()])),
                None if evaluation.alone is None else standings(evaluation, evaluation.alone),
                sizes,
                user_groups(evaluation, control, split),
                item_groups(evaluation, control, split),
            )
        )
    return results
