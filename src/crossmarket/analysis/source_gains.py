"""How far the choice of the source matters (FOREC, Fig. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting, in_order
from crossmarket.analysis.boxes import box_of, draw_boxes
from crossmarket.analysis.panels import add_legend, panels
from crossmarket.analysis.pictures import FAINT, INK, colour_of, in_turn
from crossmarket.analysis.sources import pairwise
from crossmarket.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def compute(setting: Setting) -> pl.DataFrame:
    """Gain of each system from each single source: a row for each target, system and source.

    `target, system, source, base, alone, ndcg, gain`: `base` is the title of the setting's first
    system and `alone` its NDCG@10, trained on the target alone; `ndcg` is that of another system,
    trained on the target and the source; `gain` is their difference.

    Raises
    ------
    UsageError
        If the setting has fewer than two systems.
    """
    base, *others = setting.systems
    if not others:
        raise UsageError("source-gains needs a base and at least one system to compare with it")
    means = (
        pairwise(setting, [base], others)
        .group_by("target", "source", "system")
        .agg(pl.col("ndcg").mean())
    )
    alone = means.filter(pl.col("source").is_null()).select("target", alone="ndcg")
    table = (
        means.filter(pl.col("source").is_not_null())
        .join(alone, on="target")
        .with_columns(pl.lit(base.title).alias("base"), gain=pl.col("ndcg") - pl.col("alone"))
        .select("target", "system", "source", "base", "alone", "ndcg", "gain")
    )
    orders = {"target": setting.markets, "source": setting.data.dataset.markets}
    return in_order(table, setting, "target", "system", "source", **orders)


def draw(table: pl.DataFrame) -> Figure:
    """A panel for each target, a box over the sources for each system."""
    targets = in_turn(table, "target")
    systems = in_turn(table, "system")
    colours = colour_of(systems)
    heading = f"Gain from one source over {table['base'][0]} on the target alone"
    figure, axes = panels(
        targets,
        heading=heading,
        x_label="system; a box over the sources, a dot for each of them",
        value_label="gain in NDCG@10",
        share_y=True,
    )
    for target, one in zip(targets, axes, strict=True):
        for place, system in enumerate(systems):
            own = table.filter(pl.col("target") == target, pl.col("system") == system)
            gains = own["gain"].to_list()
            draw_boxes(one, [box_of(gains)], [place], width=0.6, colour=colours[system])
            one.plot([place] * len(gains), gains, "o", color=INK, markersize=2.8, zorder=3)
        one.axhline(0, color=FAINT, linewidth=1.2, zorder=0.9)
        one.set_xticks([])
        one.set_xlim(-0.6, len(systems) - 0.4)
    handles = [_patch(colours[system]) for system in systems]
    add_legend(figure, heading, handles, systems)
    return figure


def _patch(colour: str) -> object:
    from matplotlib.patches import Patch  # noqa: PLC0415 - slow to import

    return Patch(facecolor=colour, alpha=0.55, edgecolor=INK)


ANALYSIS = Analysis(
    name="source-gains",
    summary="Gain over the first system on the target alone, over all choices of one source.",
    source="FOREC, Fig. 4",
    compute=compute,
    draw=draw,
    systems=("NMF", "NMF++", "MAML", "NMF-FOREC", "FOREC"),
    protocol="forec",
)
