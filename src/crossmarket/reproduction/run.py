"""Measuring a published table again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.data.readers import ReadResult
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.provenance import commit, versions
from crossmarket.experiments.published import PublishedTable
from crossmarket.files import write_json, write_text
from crossmarket.reproduction.controls import measure_controls
from crossmarket.reproduction.gains import measure_gains
from crossmarket.reproduction.measured import Measured
from crossmarket.reproduction.others import measure_costs, measure_item_groups
from crossmarket.reproduction.render import to_markdown
from crossmarket.reproduction.statistics import measure_statistics
from crossmarket.reproduction.systems import measure_systems
from crossmarket.reproduction.verdicts import judge_claims, judge_row, with_verdicts

#: How each kind of table is measured.
MEASURES: Mapping[str, Callable[[PublishedTable, Setting], Measured]] = {
    "comparison": measure_systems,
    "sources": measure_systems,
    "unseen-target": measure_systems,
    "gains": measure_gains,
    "costs": measure_costs,
    "item-groups": measure_item_groups,
    "statistics": measure_statistics,
}


def setting_of(
    table: PublishedTable,
    data: ReadResult,
    folder: Path,
    *,
    seeds: tuple[int, ...] = (0,),
    threads: int = 1,
    progress: bool = False,
    report: Callable[[str, int, dict[str, Any]], None] = lambda title, seed, record: None,
) -> Setting:
    """The setting in which a table is measured; its folder is that of its protocol.

    Tables (and the laboratory) that share a protocol share its results.

    Raises
    ------
    UsageError
        If the data lack every market of the table.
    """
    protocol = table.protocol or Protocol()
    named = table.market_of.values()
    # In the order of the data, so that tables with other columns share their results.
    markets = tuple(market for market in data.dataset.markets if market in named)
    if named and not markets:
        raise UsageError(
            f"{table.name} is measured on the data {table.data!r}, with the markets "
            f"{', '.join(named)}; these data have {', '.join(data.dataset.markets)}"
        )
    return Setting(
        data,
        folder / protocol.fit_label,
        markets=markets or data.dataset.markets,
        systems=table.systems(),
        protocol=protocol,
        seeds=seeds if table.kind != "statistics" else (0,),
        threads=threads,
        progress=progress,
        report=report,
    )


def reproduce(table: PublishedTable, setting: Setting) -> dict[str, Any]:
    """Measure what is missing and join it with what is published.

    Returns
    -------
    JSON-able: what the table says of itself, the data, protocol and seeds, `rows` (each with
    `cells`, `verdict` and `reason`), `controls` as `measure_controls` gives them, `claims` (each
    with `verdict`, `reason` and the comparisons behind it), versions and commit.
    """
    measured = MEASURES[table.kind](table, setting)
    cells = with_verdicts(table, measured)
    rows = []
    for label, row in table.row_of.items():
        own = cells.filter(pl.col("row") == label)
        verdict = judge_row(table, row, own)
        rows.append(
            {
                "row": label,
                "group": row.group,
                "verdict": verdict.word,
                "reason": verdict.reason,
                "cells": own.drop("group", "row").to_dicts(),
            }
        )
    claims = [
        {
            **claim.model_dump(mode="json"),
            "verdict": verdict.word,
            "reason": verdict.reason,
            "comparisons": comparisons,
        }
        for claim, (verdict, comparisons) in zip(
            table.claims, judge_claims(table, measured), strict=True
        )
    ]
    return {
        "name": table.name,
        "paper": table.paper,
        "table": table.table,
        "title": table.title,
        "stated": table.stated,
        "comparable": table.comparable,
        "notes": list(table.notes),
        "columns": list(table.columns),
        "data": table.data,
        "fingerprint": setting.data.dataset.fingerprint,
        "protocol": table.protocol.label if table.protocol else None,
        "seeds": list(setting.seeds),
        "threads": setting.threads,
        "rows": rows,
        "controls": measure_controls(table, setting),
        "claims": claims,
        "systems": [system.model_dump(mode="json") for system in table.systems()],
        "versions": versions(*(system.model for system in table.systems())),
        "commit": commit(),
    }


def write_reproduction(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write `NAME.md`, `NAME.csv` and `NAME.json`; returns their paths."""
    paths = [folder / f"{record['name']}{suffix}" for suffix in (".md", ".csv", ".json")]
    cells = [
        {"row": row["row"], "group": row["group"], **cell, "verdict": row["verdict"]}
        for row in record["rows"]
        for cell in row["cells"]
    ]
    write_text(paths[0], to_markdown(record))
    write_text(paths[1], pl.DataFrame(cells, infer_schema_length=None).write_csv())
    write_json(paths[2], dict(record))
    return paths
