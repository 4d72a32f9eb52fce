"""Rows whose systems learn from the target and one source: a named one, the best, or each."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.analysis.fitted import fit_system, remembered, validation_metrics
from crossmarket.analysis.sources import fixed_protocol, pairwise_users, restricted
from crossmarket.experiments.published import PublishedTable
from crossmarket.experiments.systems import SystemConfig

#: What a source is chosen by, on validation.
METRIC = "ndcg@10"


def from_sources(table: PublishedTable, setting: Setting) -> pl.DataFrame:
    """Per-user values of the rows that name their sources.

    `best` takes, for each target and seed, the source with the best validation NDCG@10; `average`
    each user's mean over all sources.
    """
    labels = {
        label: row
        for label, row in table.row_of.items()
        if row.sources != "all" and label in table.system_of
    }
    titles = {table.system_of[label].title for label in labels}
    systems = [system for system in table.systems() if system.title in titles]
    users = pairwise_users(setting, [], systems, metrics=table.metrics)
    frames = []
    for label, row in labels.items():
        own = users.filter(pl.col("system") == table.system_of[label].title)
        if row.sources == "best":
            own = own.join(
                best_sources(setting, table.system_of[label]), on=["target", "source", "seed"]
            )
        elif row.sources != "average":
            own = own.filter(pl.col("source") == row.sources)
        means = own.group_by("target", "seed", "user_id", maintain_order=True).agg(
            pl.col(table.metrics).mean()
        )
        frames.append(means.select(pl.lit(label).alias("row"), pl.all()))
    columns = {market: column for column, market in table.market_of.items()}
    return pl.concat(frames).select(
        "row",
        pl.col("target").replace_strict(columns).alias("column"),
        pl.exclude("row", "target"),
    )


def best_sources(setting: Setting, system: SystemConfig) -> pl.DataFrame:
    """The source with the best validation NDCG@10: `target, seed, source`."""
    rows = []
    for target in setting.markets:
        for seed in setting.seeds:
            values = {
                source: _validated(setting, system, target, source, seed)
                for source in setting.data.dataset.markets
                if source != target
            }
            rows.append(
                {"target": target, "seed": seed, "source": max(values, key=values.__getitem__)}
            )
    return pl.DataFrame(rows, schema_overrides={"seed": pl.Int32})


def _validated(
    setting: Setting, system: SystemConfig, target: str, source: str, seed: int
) -> float:
    pair = replace(restricted(setting, target, source), protocol=fixed_protocol(setting))

    def compute() -> dict[str, float]:
        split = pair.protocol.split(pair.data, seed)
        model = fit_system(pair, system, split, target)
        return validation_metrics(model, pair.protocol, split, target)

    return float(remembered(pair, "validation", system, seed, target, compute)[METRIC])
