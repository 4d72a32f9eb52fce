"""What was measured for a published table, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from crossmarket.experiments.published import PublishedTable

#: A measured cell for one seed; `error` is its standard error over users, null where it has none.
CELL_SCHEMA = {
    "row": pl.String(),
    "metric": pl.String(),
    "column": pl.String(),
    "seed": pl.Int64(),
    "value": pl.Float64(),
    "error": pl.Float64(),
}


@dataclass(frozen=True)
class Measured:
    """What was measured for a table.

    Attributes
    ----------
    cells : polars.DataFrame
        `CELL_SCHEMA`.
    per_user : polars.DataFrame, optional
        `row, column, seed, user_id` and a column for each metric; there where rows are systems.
    levels : Measured, optional
        Behind gains: what the rows and the reference themselves have in each market.
    """

    cells: pl.DataFrame
    per_user: pl.DataFrame | None = None
    levels: Measured | None = None

    def summary(self) -> pl.DataFrame:
        """Cells over seeds: `row, metric, column, measured, std, error, seeds`.

        The mean, the deviation between seeds (null with one), the mean standard error over users,
        and how many seeds there are.
        """
        return self.cells.group_by("row", "metric", "column", maintain_order=True).agg(
            pl.col("value").mean().alias("measured"),
            pl.col("value").std().alias("std"),
            pl.col("error").mean(),
            pl.len().cast(pl.Int64).alias("seeds"),
        )


def from_users(per_user: pl.DataFrame, metrics: Sequence[str]) -> Measured:
    """Cells as means over users.

    Parameters
    ----------
    per_user : polars.DataFrame
        `row, column, seed, user_id` and the metrics.
    metrics : sequence of str
        Which to take.
    """
    long = per_user.unpivot(
        on=list(metrics), index=["row", "column", "seed", "user_id"], variable_name="metric"
    )
    cells = long.group_by("row", "metric", "column", "seed", maintain_order=True).agg(
        pl.col("value").mean().alias("mean"),
        (pl.col("value").std() / pl.len().sqrt()).alias("error"),
    )
    return Measured(cells.rename({"mean": "value"}).cast(CELL_SCHEMA), per_user)  # type: ignore[arg-type]


def by_row(
    table: PublishedTable, per_user: pl.DataFrame, systems: Mapping[str, str]
) -> pl.DataFrame:
    """Per-user values of systems as those of a table's rows and columns.

    Parameters
    ----------
    per_user : polars.DataFrame
        As `Comparison.run` gives them.
    systems : mapping of str to str
        Title of the system of each row, by the row's label.
    """
    columns = pl.DataFrame(
        {"market": list(table.market_of.values()), "column": list(table.market_of)}
    )
    rows = pl.DataFrame({"system": list(systems.values()), "row": list(systems)})
    joined = per_user.join(columns, on="market").join(rows, on="system")
    return joined.select("row", "column", pl.exclude("row", "column", "market", "system"))
