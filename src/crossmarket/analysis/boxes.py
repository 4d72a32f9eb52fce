"""Boxes and whiskers from five numbers each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from crossmarket.analysis.pictures import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def box_of(values: ArrayLike) -> dict[str, float]:
    """Five numbers of a distribution: `low, q1, median, q3, high`.

    `low` and `high` are the extreme values within 1.5 quartile ranges of the quartiles (Tukey).
    """
    sample = np.asarray(values, dtype=np.float64)
    q1, median, q3 = (float(value) for value in np.quantile(sample, [0.25, 0.5, 0.75]))
    reach = 1.5 * (q3 - q1)
    inside = sample[(sample >= q1 - reach) & (sample <= q3 + reach)]
    return {
        "low": float(inside.min()),
        "q1": q1,
        "median": median,
        "q3": q3,
        "high": float(inside.max()),
    }


def draw_boxes(
    axes: Axes,
    boxes: Sequence[Mapping[str, float]],
    places: Sequence[float],
    *,
    width: float,
    colour: str,
) -> None:
    """Draw boxes as `box_of` gives them, at places of the x axis."""
    statistics = [
        {
            "whislo": box["low"],
            "q1": box["q1"],
            "med": box["median"],
            "q3": box["q3"],
            "whishi": box["high"],
        }
        for box in boxes
    ]
    line = {"color": INK, "linewidth": 1.0}
    axes.bxp(
        statistics,
        positions=places,
        widths=width,
        showfliers=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": colour, "alpha": 0.55, "edgecolor": INK, "linewidth": 1.0},
        medianprops={"color": INK, "linewidth": 2.0},
        whiskerprops=line,
        capprops=line,
    )
