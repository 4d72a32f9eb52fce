"""Tables of costs and of groups of items."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from crossmarket.analysis import costs, item_overlap
from crossmarket.analysis.base import Setting
from crossmarket.experiments.published import PublishedTable
from crossmarket.reproduction.measured import CELL_SCHEMA, Measured
from crossmarket.reproduction.systems import measure_systems

#: Column of the analysis `costs` for each metric of a table of costs, and what divides it.
_COSTS = {
    "parameters": ("trainable", 1),
    "seconds an epoch": ("seconds_per_epoch", 1),
    "training minutes": ("seconds", 60),
}
_GROUPS = {"shared": item_overlap.SHARED, "own": item_overlap.OWN}


def measure_costs(table: PublishedTable, setting: Setting) -> Measured:
    """What each row's system costs in the market of the table's one column, and its quality."""
    ((column, market),) = table.market_of.items()
    there = replace(setting, systems=table.systems(), markets=(market,))
    found = costs.compute(there)
    quality = measure_systems(table, there)
    rows = {system.title: label for label, system in table.system_of.items()}
    frames = [
        found.select(
            pl.col("system").replace_strict(rows).alias("row"),
            pl.lit(metric).alias("metric"),
            pl.lit(column).alias("column"),
            "seed",
            (pl.col(name) / divisor).alias("value"),
            pl.lit(None, dtype=pl.Float64).alias("error"),
        )
        for metric, (name, divisor) in _COSTS.items()
        if any(metric in row.values for row in table.rows)
    ]
    cells = pl.concat(frames).cast(CELL_SCHEMA)  # type: ignore[arg-type]
    return Measured(pl.concat([cells, quality.cells]), quality.per_user)


def measure_item_groups(table: PublishedTable, setting: Setting) -> Measured:
    """Each row's system on held-out items that several markets sell, or on those of one.

    A cell's error is over the held-out interactions.
    """
    found = item_overlap.compute(replace(setting, systems=table.systems()))
    columns = {market: column for column, market in table.market_of.items()}
    frames = []
    for label, row in table.row_of.items():
        if label not in table.system_of or row.items is None:
            continue
        own = found.filter(
            pl.col("system") == table.system_of[label].title,
            pl.col("group") == _GROUPS[row.items],
        )
        for metric in table.metrics:
            frames.append(
                own.select(
                    pl.lit(label).alias("row"),
                    pl.lit(metric).alias("metric"),
                    pl.col("market").replace_strict(columns).alias("column"),
                    "seed",
                    pl.col(metric).alias("value"),
                    pl.col(f"{metric}_error").alias("error"),
                )
            )
    return Measured(pl.concat(frames).cast(CELL_SCHEMA))  # type: ignore[arg-type]
