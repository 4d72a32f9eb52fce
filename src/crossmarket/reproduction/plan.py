"""What a reproduction has still to compute, and about how long that takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from crossmarket.analysis.base import Setting
from crossmarket.analysis.sources import restricted
from crossmarket.experiments.published import PublishedTable
from crossmarket.experiments.systems import CATALOGUE, SystemConfig, known_systems
from crossmarket.experiments.yaml_files import load_yaml
from crossmarket.reproduction.systems import needs_sources


@dataclass(frozen=True)
class Step:
    """One system and seed: how often it is trained, whether it is done, about how long it takes.

    Attributes
    ----------
    title, seed, times, done, seconds
        The system and seed; trainings (more than one with single sources); whether its results
        are there; seconds of one core for what is not.
    """

    title: str
    seed: int
    times: int
    done: bool
    seconds: float


@cache
def known_seconds() -> tuple[float, Mapping[tuple[str, str | None], float]]:
    """Interactions of the data measured on, and seconds of one core by model and preset."""
    measured = load_yaml(CATALOGUE / "seconds.yaml")
    systems = known_systems()
    seconds = {
        (systems[title].model, systems[title].preset): float(value)
        for title, value in measured["seconds"].items()
    }
    return float(measured["interactions"]), seconds


def expected_seconds(system: SystemConfig, interactions: int) -> float:
    """Seconds of one core for a system, all markets, one seed, on data of some size."""
    base, known = known_seconds()
    usual = float(np.median(list(known.values())))
    own = [value for (model, _), value in known.items() if model == system.model]
    fallback = float(np.mean(own)) if own else usual
    return known.get((system.model, system.preset), fallback) * interactions / base


def steps(table: PublishedTable, setting: Setting) -> Iterator[Step]:
    """Every system and seed of a table, in the order in which they are measured."""
    if table.kind == "statistics":
        return
    sources = {
        table.system_of[label].title: row.sources
        for label, row in table.row_of.items()
        if label in table.system_of
    }
    others = len(setting.data.dataset.markets) - 1
    comparison = setting.comparison(table.systems(), metrics=table.metrics)
    pairs = [
        restricted(setting, target, source).comparison(
            table.systems(), markets=[target], metrics=table.metrics
        )
        for target in (setting.markets if needs_sources(table) else ())
        for source in setting.data.dataset.markets
        if source != target
    ]
    for seed in setting.seeds:
        for system in table.systems():
            alone = sources.get(system.title, "all") == "all"
            times = 1 if alone else others * len(setting.markets)
            # Each market is in two of the pairs with each other market.
            share = 1 if alone else 2 * others
            seconds = expected_seconds(system, setting.data.dataset.num_interactions) * share
            done = (
                comparison.is_done(system, seed)
                if alone
                else all(pair.is_done(system, seed) for pair in pairs)
            )
            yield Step(system.title, seed, times, done, 0.0 if done else seconds)
