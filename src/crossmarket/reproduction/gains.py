"""Tables of relative changes against a reference system."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.analysis.sources import pairwise_users
from crossmarket.experiments.published import PublishedTable
from crossmarket.reproduction.measured import CELL_SCHEMA, Measured, from_users
from crossmarket.reproduction.systems import needs_sources


def measure_gains(table: PublishedTable, setting: Setting) -> Measured:
    """Each row's relative change, (row - reference) / reference, in each column.

    A column that is no market is the mean over those that are. A cell's error is that of the mean
    difference over users, as a share of the reference.
    """
    users = _with_sources(table, setting) if needs_sources(table) else _overall(table, setting)
    metrics = table.metrics
    cells = [_cells(users, metric) for metric in metrics]
    found = pl.concat(cells)
    columns = {market: column for column, market in table.market_of.items()}
    frames = []
    if columns:
        named = found.filter(pl.col("market").is_in(list(columns)))
        frames.append(named.with_columns(column=pl.col("market").replace_strict(columns)))
    for column in table.columns:
        if column not in table.market_of:
            frames.append(_mean_over_markets(found).with_columns(column=pl.lit(column)))
    joined = pl.concat(frames, how="diagonal")
    changes = joined.select(*CELL_SCHEMA).cast(CELL_SCHEMA)  # type: ignore[arg-type]
    return Measured(changes, levels=None if needs_sources(table) else _levels(table, users))


def _levels(table: PublishedTable, users: pl.DataFrame) -> Measured:
    """Rows and reference as systems of a comparison, whose columns are the markets."""
    keys = ["row", "market", "seed", "user_id"]
    rows = users.select(*keys, *table.metrics)
    once = users.unique(["market", "seed", "user_id"], maintain_order=True)
    reference = once.select(
        pl.lit(table.reference_title).alias("row"),
        *keys[1:],
        *(pl.col(f"{metric}_reference").alias(metric) for metric in table.metrics),
    )
    levels = pl.concat([reference, rows]).rename({"market": "column"})
    return from_users(levels, table.metrics)


def _overall(table: PublishedTable, setting: Setting) -> pl.DataFrame:
    """Users of each row beside those of the reference, all markets learned from."""
    _, users = setting.comparison(table.systems(), metrics=table.metrics).run(setting.report)
    return _beside_reference(table, users.rename({"market": "target"}), ["target"])


def _with_sources(table: PublishedTable, setting: Setting) -> pl.DataFrame:
    """Users of each row beside those of the reference, with the same single source."""
    users = pairwise_users(setting, [], table.systems(), metrics=table.metrics)
    return _beside_reference(table, users, ["target", "source"])


def _beside_reference(
    table: PublishedTable, users: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    reference = users.filter(pl.col("system") == table.reference_title)
    on = [*keys, "seed", "user_id"]
    frames = []
    for label, row in table.row_of.items():
        if label not in table.system_of:
            continue
        own = users.filter(pl.col("system") == table.system_of[label].title)
        if "source" in keys:
            own = own.filter(pl.col("source") == row.sources)
        beside = own.join(reference, on=on, suffix="_reference")
        frames.append(beside.with_columns(row=pl.lit(label), market=pl.col("target")))
    return pl.concat(frames)


def _cells(users: pl.DataFrame, metric: str) -> pl.DataFrame:
    base = pl.col(f"{metric}_reference")
    change = pl.col(metric) - base
    return users.group_by("row", "market", "seed", maintain_order=True).agg(
        pl.lit(metric).alias("metric"),
        (change.mean() / base.mean()).alias("value"),
        (change.std() / pl.len().sqrt() / base.mean()).alias("error"),
    )


def _mean_over_markets(cells: pl.DataFrame) -> pl.DataFrame:
    return cells.group_by("row", "metric", "seed", maintain_order=True).agg(
        pl.col("value").mean(), (pl.col("error").pow(2).sum().sqrt() / pl.len()).alias("error")
    )
