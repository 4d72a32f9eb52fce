"""Which markets sell and buy the same (FOREC, Fig. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.pictures import in_turn
from crossmarket.data.describe import describe, similarity_maps
from crossmarket.data.heatmap import heat_map_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = ("cosine", "jaccard", "overlap")


def compute(setting: Setting) -> pl.DataFrame:
    """Every ordered pair of markets: `market, other, cosine, jaccard, overlap`.

    `cosine` compares how often each item was bought, `jaccard` what is sold, `overlap` is the
    number of items that both sell. All interactions count, whatever the protocol.
    """
    found = describe(setting.data.dataset)
    rows = [found.markets.index(market) for market in setting.markets]
    table = [
        {
            "market": found.markets[row],
            "other": found.markets[column],
            **{name: getattr(found, name)[row, column].item() for name in MEASURES},
        }
        for row in rows
        for column in rows
    ]
    return pl.DataFrame(table)


def draw(table: pl.DataFrame) -> Figure:
    """Two heat maps: items in common, and purchases alike."""
    markets = in_turn(table, "market")
    size = (len(markets), len(markets))
    overlap: NDArray[np.int64] = table["overlap"].to_numpy().reshape(size)
    jaccard, cosine = (table[name].to_numpy().reshape(size) for name in ("jaccard", "cosine"))
    return heat_map_figure(similarity_maps(markets, overlap, jaccard, cosine))


ANALYSIS = Analysis(
    name="market-similarity",
    summary="How alike two markets buy (cosine) and what they both sell (Jaccard, overlap).",
    source="FOREC, Fig. 2",
    compute=compute,
    draw=draw,
)
