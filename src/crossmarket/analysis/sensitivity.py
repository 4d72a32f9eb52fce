"""What one setting of a system does to its quality, all else fixed (DCMPT Fig. 5, ACMR Fig. 6).

Settings are chosen on validation, so this is what is shown: the validation part is ranked as the
protocol ranks the test part, and the test part plays no role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.fitted import (
    fit_system,
    for_validation,
    remembered,
    validation_metrics,
    varied,
)
from crossmarket.analysis.progress import tracked
from crossmarket.analysis.sensitivity_picture import draw
from crossmarket.data.splits import Split
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.registry import build_model

#: Values of each setting, by the setting's name.
Grid = Mapping[str, Sequence[int | float]]

METRICS = ("ndcg@10", "recall@10")
_SCHEMA = {
    "system": pl.String,
    "setting": pl.String,
    "value": pl.Float64,
    "own": pl.Boolean,
    "market": pl.String,
    "seed": pl.Int64,
    "part": pl.String,
    **dict.fromkeys(METRICS, pl.Float64),
}


@dataclass(frozen=True)
class _Trial:
    """A value of a setting, and the system with it."""

    title: str
    setting: str
    value: float
    own: bool
    system: SystemConfig


def compute(setting: Setting, grid: Grid) -> pl.DataFrame:
    """`system, setting, value, own, market, seed, part, ndcg@10, recall@10`.

    `own` marks the value that the system has unless it is varied; `part` is what was ranked,
    always `validation`. Equal systems of several rows are trained once.
    """
    setting = replace(setting, protocol=for_validation(setting.protocol))
    trials = list(_trials(setting.systems, grid))
    rows = []
    for seed in setting.seeds:
        split = setting.protocol.split(setting.data, seed)
        memory: dict[str, Any] = {}
        steps = [
            (f"{trial.system.title}, seed {seed}", (place, trial))
            for place, trial in enumerate(trials)
        ]
        for place, trial in tracked(setting, steps):
            for market in setting.markets:
                measure = partial(_measure, setting, trial.system, split, market, memory)
                means = remembered(setting, "validation", trial.system, seed, market, measure)
                head = (trial.title, trial.setting, trial.value, trial.own)
                values = (means[metric] for metric in METRICS)
                rows.append((place, *head, market, seed, "validation", *values))
    table = pl.DataFrame(rows, schema={"place": pl.Int64, **_SCHEMA}, orient="row")
    places = pl.Enum(setting.markets)
    return table.sort("place", pl.col("market").cast(places), "seed").drop("place")


def _measure(
    setting: Setting, system: SystemConfig, split: Split, market: str, memory: dict[str, Any]
) -> dict[str, float]:
    model = fit_system(setting, system, split, market, memory)
    return validation_metrics(model, setting.protocol, split, market)


def _trials(systems: Sequence[SystemConfig], grid: Grid) -> Iterator[_Trial]:
    """Each value of each setting of each system, and the one that it has."""
    for system in systems:
        config = build_model(system.model, system.preset, system.config).get_config()
        for name, values in grid.items():
            own = config.get(name, values[0])  # a system without the setting is refused below
            for value in sorted({*values, own}):
                title = f"{system.title}, {name}={value:g}"
                changed = varied(system, title, {name: value})
                yield _Trial(system.title, name, float(value), value == own, changed)


def _analysis(
    name: str,
    summary: str,
    source: str,
    heading: str,
    system: str,
    grid: Grid,
    protocol: str = "ratio-full",
) -> Analysis:
    return Analysis(
        name=name,
        summary=summary,
        source=source,
        compute=partial(compute, grid=grid),
        draw=partial(draw, heading=heading),
        systems=(system,),
        protocol=protocol,
    )


ANALYSES = (
    _analysis(
        "prompt-count",
        "NDCG@10 on validation against the number of prompts.",
        "DCMPT, Fig. 5",
        "How many prompts a market needs",
        "DCMPT",
        {"num_prompts": (5, 10, 15, 20, 25, 30, 35, 40)},
    ),
    _analysis(
        "loss-weights",
        "NDCG@10 on validation against the weight of each of DCMPT's losses.",
        "DCMPT, Fig. 5",
        "What the weight of each loss does",
        "DCMPT",
        {
            "alpha": (0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
            "beta": (0.0, 0.001, 0.01, 0.1, 1.0),
            "gamma": (0.0, 0.03, 0.1, 0.3, 1.0),
        },
    ),
    _analysis(
        "acmr-sensitivity",
        "NDCG@10 on validation against width, history length, layers and heads of ACMR.",
        "ACMR, Fig. 6",
        "What width, history, layers and heads do to ACMR",
        "ACMR",
        {
            "embedding_size": (8, 16, 32, 64, 128),
            "max_length": (30, 40, 50, 60, 70),
            "num_layers": (1, 2, 3, 4),
            "num_heads": (2, 4, 8),
        },
        # Each candidate of each user costs a sequence: 100 of them, not the whole catalogue.
        "acmr-market",
    ),
)
