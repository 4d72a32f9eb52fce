"""What a report computes from an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from crossmarket.evaluation.evaluator import MarketEvaluation, evaluate_market
from crossmarket.reporting.groups import item_groups, user_groups
from crossmarket.reporting.material import Evaluation, Fitted, Material
from crossmarket.reporting.quality import Standing, popularity_of, standings


@dataclass(frozen=True, eq=False)
class Results:
    """An evaluation beside popularity.

    Attributes
    ----------
    evaluation : Evaluation
        The run's own.
    standings : mapping of metric to its rows
        As `standings`.
    interactions : dict of market to int
        Training interactions of each market.
    users : polars.DataFrame
        As `user_groups`.
    items : polars.DataFrame or None
        As `item_groups`; None unless the models were asked to score once more.
    """

    evaluation: Evaluation
    standings: Mapping[str, tuple[Standing, ...]]
    interactions: dict[str, int]
    users: pl.DataFrame
    items: pl.DataFrame | None


def compute_results(material: Material, fitted: Fitted, *, items: bool) -> list[Results]:
    """Set every evaluation of a protocol beside popularity.

    Parameters
    ----------
    items : bool
        Score with the fitted models once more, to know which held-out items they found; what a
        fit left unfinished is trained first.
    """
    results = []
    for evaluation in fitted.evaluations:
        protocol, split = evaluation.protocol, fitted.split
        control = popularity_of(protocol, split, evaluation.markets)
        found = None
        if items:
            own = _hits(material, evaluation, fitted)
            found = item_groups(own, control, protocol, split)
        sizes = {
            market: len(protocol.for_target(split, market).train.edges(market))
            for market in evaluation.markets
        }
        ranked = standings(evaluation, control)
        users = user_groups(evaluation, control, split)
        results.append(Results(evaluation, ranked, sizes, users, found))
    return results


def _hits(material: Material, evaluation: Evaluation, fitted: Fitted) -> dict[str, pl.DataFrame]:
    models = material.run.fit(evaluation.protocol, evaluation.markets)
    found: dict[str, MarketEvaluation] = {
        market: evaluate_market(model, evaluation.protocol, fitted.split, market)
        for market, model in models.items()
    }
    return {market: one.hits for market, one in found.items()}
