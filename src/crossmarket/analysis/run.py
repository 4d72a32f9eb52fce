"""Running an analysis: its table, its picture and what they were made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.pictures import house_style, save
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import write_json, write_text


def run_analysis(
    analysis: Analysis, setting: Setting, out: Path
) -> tuple[pl.DataFrame, list[Path]]:
    """Compute an analysis and write `NAME.csv`, `NAME.svg`, `NAME.png` and `NAME.json`.

    Returns
    -------
    The table, and the paths of the files; the record is written last.
    """
    table = analysis.compute(setting)
    paths = [out / f"{analysis.name}{suffix}" for suffix in (".csv", ".svg", ".png", ".json")]
    write_text(paths[0], table.write_csv())
    draw_table(analysis, table, paths[1:3])
    write_json(paths[3], describe_setting(analysis, setting))
    return table, paths


def draw_table(analysis: Analysis, table: pl.DataFrame, paths: list[Path]) -> None:
    """Draw an analysis' table in the house style, once for each path."""
    with house_style():
        figure = analysis.draw(table)
        for path in paths:
            save(figure, path)


def describe_setting(analysis: Analysis, setting: Setting) -> dict[str, Any]:
    """What a table was made with, JSON-able."""
    return {
        "analysis": analysis.name,
        "summary": analysis.summary,
        "source": analysis.source,
        "data": setting.data.dataset.fingerprint,
        "protocol": setting.protocol.label,
        "markets": list(setting.markets),
        "seeds": list(setting.seeds),
        "threads": setting.threads,
        "systems": [system.model_dump(mode="json") for system in setting.systems],
        "versions": versions(*(system.model for system in setting.systems)),
        "commit": commit(),
    }
