"""Where the items of each market lie before and after distillation (DCMPT, Fig. 6).

The paper does not say which nodes it draws. Here a point is an item in a target market, as the
prompted student of that market sees it (its propagated vector), for items that at least two of
the markets sell: before with prompts trained by the task loss alone, after with distillation.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.maps import draw_maps, map_table
from crossmarket.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = ("before distillation", "after distillation")


def compute(setting: Setting) -> pl.DataFrame:
    """The columns of `map_table`; the first system is seen before, the second after.

    Raises
    ------
    UsageError
        If there are not two systems.
    """
    if len(setting.systems) != 2:
        raise UsageError("distillation-map compares two systems: without and with distillation")
    return map_table(setting, dict(zip(VIEWS, setting.systems, strict=True)), least_markets=2)


draw: partial[Figure] = partial(
    draw_maps, heading="Items of several markets, as the student of each market sees them"
)

ANALYSIS = Analysis(
    name="distillation-map",
    summary="Maps of the students' item vectors before and after distillation, with silhouettes.",
    source="DCMPT, Fig. 6",
    compute=compute,
    draw=draw,
    systems=("DCMPT without distillation", "DCMPT"),
)
