"""What no table should be read without: counts, and a linear model of the market alone."""

from __future__ import annotations

from typing import Any

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.experiments.published import PublishedTable
from crossmarket.experiments.systems import find_system
from crossmarket.reproduction.measured import by_row, from_users

#: Titles of the catalogue's systems that stand beside every table of rankings.
CONTROLS = ("Popularity", "EASE^R single")

_KINDS = ("comparison", "sources", "unseen-target")


def measure_controls(table: PublishedTable, setting: Setting) -> list[dict[str, Any]]:
    """Measure the controls in the markets of a table; nothing for tables of something else.

    Returns
    -------
    One record a control: `row` and `cells`, each `metric, column, measured, std, error, seeds`.
    """
    if table.kind not in _KINDS:
        return []
    systems = [find_system(title, table.protocol) for title in CONTROLS]
    _, per_user = setting.comparison(systems, metrics=table.metrics).run()
    users = by_row(table, per_user, {title: title for title in CONTROLS})
    means = from_users(users, table.metrics).summary()
    return [
        {"row": title, "cells": means.filter(pl.col("row") == title).drop("row").to_dicts()}
        for title in CONTROLS
    ]
