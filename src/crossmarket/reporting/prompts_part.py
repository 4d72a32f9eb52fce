"""The prompts of DCMPT: where the markets lie, and how long their prompts are."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crossmarket.analysis.pictures import INK, new_figure
from crossmarket.data.heatmap import HeatMap
from crossmarket.reporting.drawings import SMALL, name_points
from crossmarket.reporting.elements import heat_map, paragraph, picture, pictures
from crossmarket.reporting.material import Fitted, Material
from crossmarket.reporting.prompts import PromptMap, prompt_map
from crossmarket.reporting.quality import known
from crossmarket.reporting.svg import RUN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Width and height in inches.
_SIZE = (SMALL[0] + 0.6, SMALL[1] + 0.8)
_MODEL = "dcmpt"


def prompts_part(material: Material) -> str:
    """Maps of the banks of the first protocol that has any; nothing for other systems."""
    if material.run.settings.model != _MODEL:
        return ""
    for fitted in material.fitted:
        prompts = prompt_map(fitted, material.run.settings.targets)
        if prompts is not None:
            return _shown(prompts, fitted)
    return paragraph(
        "Not here: a map of prompts needs the trained prompts of at least two targets."
    )


def _shown(prompts: PromptMap, fitted: Fitted) -> str:
    drawn = [
        picture(
            "Markets by their prompts",
            "Each dot is the whole bank of a market's basis prompts. Markets that lie close "
            "bend the shared backbone in a similar way.",
            "p-map",
            partial(_draw_prompt_map, prompts),
        ),
        picture(
            "Length of the prompts",
            "A dot is a basis prompt, the bar their mean. Long prompts bend the backbone much, "
            "prompts near 0 leave it as it is.",
            "p-norm",
            partial(_draw_prompt_norms, prompts),
        ),
    ]
    alike = HeatMap(
        "Prompts alike",
        "cosine similarity of the banks; 1 is the same direction, 0 unrelated",
        prompts.cosine.clip(0, 1),
        [[f"{value:.2f}" for value in row] for row in prompts.cosine.tolist()],
        prompts.markets,
        prompts.markets,
    )
    return (
        paragraph(
            f"Prompts learned under {fitted.protocol.label}. All markets start from the same "
            "values, so banks can be compared prompt by prompt."
        )
        + pictures(drawn)
        + f'<div class="maps">{heat_map(alike)}</div>'
    )


def _draw_prompt_map(prompts: PromptMap) -> Figure:
    """Markets as points of the first two principal components, to scale."""
    figure, (axes,) = new_figure(*_SIZE)
    axes.plot(prompts.points[:, 0], prompts.points[:, 1], "o", color=RUN, markersize=8)
    reach = 1.25 * float(np.abs(prompts.points).max()) or 1.0
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    name_points(axes, [(x, y, name) for (x, y), name in
                        zip(prompts.points.tolist(), prompts.markets, strict=True)])  # fmt: skip
    told = [f" ({share:.0%} of the variance)" if known(share) else ""
            for share in prompts.explained.tolist()]  # fmt: skip
    axes.set_xlabel(f"first component{told[0]}")
    axes.set_ylabel(f"second component{told[1]}")
    return figure


def _draw_prompt_norms(prompts: PromptMap) -> Figure:
    """Length of every prompt of a market, and their mean."""
    figure, (axes,) = new_figure(*_SIZE)
    for place, lengths in enumerate(prompts.norms):
        spread = np.linspace(-0.22, 0.22, len(lengths)) if len(lengths) > 1 else np.zeros(1)
        axes.plot(place + spread, np.sort(lengths), "o", color=RUN, markersize=3.5, alpha=0.6)
        axes.plot([place - 0.32, place + 0.32], [lengths.mean()] * 2, color=INK, linewidth=2)
    axes.set_xticks(range(len(prompts.markets)), list(prompts.markets))
    axes.set_xlim(-0.6, len(prompts.markets) - 0.4)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("market")
    axes.set_ylabel("length of a prompt (Euclidean norm)")
    return figure
