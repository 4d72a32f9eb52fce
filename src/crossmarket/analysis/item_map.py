"""Where the items of each market lie: learned apart, together, with market vectors (ACMR, Fig. 4).

A point is an item in a market: the vector of its token, the market's own vector included where
there is one. All views are drawn before fine-tuning, as in the paper: the second and third are
one pre-training of all markets each. Without market vectors an item has one vector for all
markets, so the points of an item that several markets sell lie upon each other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.fitted import varied
from crossmarket.analysis.maps import draw_maps, map_table
from crossmarket.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

VIEWS = ("one model a market", "one model, no market vectors", "one model with market vectors")


def compute(setting: Setting) -> pl.DataFrame:
    """The columns of `map_table`; the three systems are seen in their order, not fine-tuned.

    Raises
    ------
    UsageError
        If there are not three systems.
    """
    if len(setting.systems) != len(VIEWS):
        raise UsageError(f"item-map compares three systems: {'; '.join(VIEWS)}")
    views = {
        view: varied(system, f"{system.title}, pre-trained", {"fine_tuning": None})
        if system.model == "acmr"
        else system
        for view, system in zip(VIEWS, setting.systems, strict=True)
    }
    return map_table(setting, views)


draw: partial[Figure] = partial(
    draw_maps, heading="Items of each market: learned apart, together, with market vectors"
)

ANALYSIS = Analysis(
    name="item-map",
    summary="Maps of item vectors learned apart, together and with market vectors.",
    source="ACMR, Fig. 4",
    compute=compute,
    draw=draw,
    systems=("ACMR on the target alone", "ACMR without market vectors", "ACMR"),
    protocol="acmr-market",
)
