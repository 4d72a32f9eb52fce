"""Tables whose rows are systems."""

from __future__ import annotations

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.experiments.published import PublishedTable
from crossmarket.reproduction.measured import Measured, by_row, from_users
from crossmarket.reproduction.sources import from_sources


def measure_systems(table: PublishedTable, setting: Setting) -> Measured:
    """Each row's system in each market, learned from all markets or from the row's sources."""
    return from_users(users_of_rows(table, setting), table.metrics)


def users_of_rows(table: PublishedTable, setting: Setting) -> pl.DataFrame:
    """Per-user values of every row that has a system: `row, column, seed, user_id`, metrics."""
    frames = [
        from_all_markets(table, setting),
        *([from_sources(table, setting)] if needs_sources(table) else []),
    ]
    shown = ["row", "column", "seed", "user_id", *table.metrics]
    return pl.concat([frame.select(shown) for frame in frames if frame is not None])


def needs_sources(table: PublishedTable) -> bool:
    """Whether a row that is measured names its sources."""
    return any(row.sources != "all" and row.system is not None for row in table.rows)


def from_all_markets(table: PublishedTable, setting: Setting) -> pl.DataFrame | None:
    """Those rows whose systems learn from all markets; None if there is none."""
    titles = {
        label: table.system_of[label].title
        for label, row in table.row_of.items()
        if label in table.system_of and row.sources == "all"
    }
    if not titles:
        return None
    chosen = [system for system in table.systems() if system.title in titles.values()]
    _, per_user = setting.comparison(chosen, metrics=table.metrics).run(setting.report)
    return by_row(table, per_user, titles)
