"""Which market helps which: gain from each single source for each target (FOREC, Table 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.pictures import in_turn
from crossmarket.analysis.sources import pairwise
from crossmarket.data.heatmap import HeatMap, heat_map_figure
from crossmarket.evaluation.significance import compare_paired, holm

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Stars of a gain with at most this Holm-corrected p-value.
STARS = ((0.001, "***"), (0.01, "**"), (0.05, "*"))
#: Name of the row and the column of means.
MEAN = "mean"


def compute(setting: Setting) -> pl.DataFrame:
    """Every target with every source.

    `system, target, source, users, alone, together, gain, low, high, p_value, p_holm`: mean
    NDCG@10 of the system trained on the target alone and on both, the mean difference over users
    with its 95 % bootstrap interval, and the paired t-test with Holm's correction over all pairs
    of the system. The targets are the setting's markets, the sources all markets of the data.
    """
    values = pairwise(setting, setting.systems, setting.systems)
    tables = []
    for system in setting.systems:
        own = values.filter(pl.col("system") == system.title)
        rows = [row for target in setting.markets for row in _rows(own, target)]
        adjusted = holm([row["p_value"] for row in rows])
        table = pl.DataFrame(rows).with_columns(pl.Series("p_holm", adjusted))
        tables.append(table.select(pl.lit(system.title).alias("system"), pl.all()))
    return pl.concat(tables)


def _rows(values: pl.DataFrame, target: str) -> list[dict[str, Any]]:
    """One target's comparisons, a row for each source."""
    runs = values.filter(pl.col("target") == target)
    alone = runs.filter(pl.col("source").is_null())
    pairs = runs.filter(pl.col("source").is_not_null()).partition_by(
        "source", as_dict=True, maintain_order=True
    )
    together = {
        str(source): alone.select("user_id").join(part, on="user_id", maintain_order="left")["ndcg"]
        for (source,), part in pairs.items()
    }
    return [
        {
            "target": target,
            "source": test.name,
            "users": test.num_users,
            "alone": alone["ndcg"].mean(),
            "together": together[test.name].mean(),
            "gain": test.mean_difference,
            "low": test.low,
            "high": test.high,
            "p_value": test.p_value,
        }
        for test in compare_paired(alone["ndcg"].to_numpy(), _arrays(together))
    ]


def _arrays(columns: dict[str, pl.Series]) -> dict[str, NDArray[np.float64]]:
    return {name: column.to_numpy() for name, column in columns.items()}


def draw(table: pl.DataFrame) -> Figure:
    """A heat map for each system; sources in rows, targets in columns."""
    return heat_map_figure(
        [_map(part) for part in table.partition_by("system", maintain_order=True)]
    )


def _map(table: pl.DataFrame) -> HeatMap:
    targets = [*in_turn(table, "target"), MEAN]
    sources = [*sorted(table["source"].unique()), MEAN]
    values = np.full((len(sources), len(targets)), np.nan)
    cells = [[""] * len(targets) for _ in sources]
    for row in table.iter_rows(named=True):
        place = sources.index(row["source"]), targets.index(row["target"])
        values[place] = row["gain"]
        stars = next((f" {mark}" for level, mark in STARS if row["p_holm"] <= level), "")
        relative = f"{row['gain'] / row['alone']:+.0%}" if row["alone"] else ""
        cells[place[0]][place[1]] = f"{row['gain']:+.4f}\n{relative}{stars}"
    values[-1, :-1] = np.nanmean(values[:-1, :-1], axis=0)
    values[:-1, -1] = np.nanmean(values[:-1, :-1], axis=1)
    for column, mean in enumerate(values[-1, :-1]):
        cells[-1][column] = f"{mean:+.4f}"
    for line, mean in enumerate(values[:-1, -1]):
        cells[line][-1] = f"{mean:+.4f}"
    return HeatMap(
        f"Gain from one source, {table['system'][0]}",
        "change of NDCG@10; Holm: * p ≤ 0.05, ** p ≤ 0.01, *** p ≤ 0.001",
        values,
        cells,
        sources,
        targets,
        row_label="source",
        column_label="target",
        signed=True,
    )


ANALYSIS = Analysis(
    name="transfer-matrix",
    summary="Gain or loss from each single source for each target, tested over users.",
    source="ours, after FOREC, Table 4",
    compute=compute,
    draw=draw,
    systems=("LightGCN merged",),
)
