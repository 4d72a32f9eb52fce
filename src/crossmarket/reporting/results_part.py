"""Results of one evaluation: quality against popularity, transfer, groups of users and items."""

from __future__ import annotations

from functools import partial
from html import escape

import numpy as np
import polars as pl

from crossmarket.data.describe import Description
from crossmarket.reporting.drawings import (
    draw_against,
    draw_item_groups,
    draw_quality,
    draw_user_groups,
)
from crossmarket.reporting.elements import (
    missing,
    paragraph,
    picture,
    pictures,
    sentences,
)
from crossmarket.reporting.material import Material
from crossmarket.reporting.quality_part import against, findings, metric_name, quality_tables
from crossmarket.reporting.results import Results
from crossmarket.training.loop import SELECTION_METRIC


def results_part(
    material: Material, results: Results, description: Description, prefix: str
) -> str:
    """Everything that an evaluation tells; `prefix` is unique in the page."""
    model = material.run.settings.model
    evaluation = results.evaluation
    title = "Quality"
    if evaluation.protocol.history != "train":
        title += f", scored from {evaluation.protocol.history}"
    rows = results.standings[SELECTION_METRIC]
    name = metric_name(SELECTION_METRIC)
    return (
        f"<h3>{escape(title)}</h3>"
        + sentences(findings(results))
        + pictures(
            [
                picture(
                    f"{name} in each market",
                    "Right is better. Where a bar reaches popularity's mark, look at the test "
                    "below before you believe a difference. Macro: every market counts alike; "
                    "micro: every user does.",
                    f"{prefix}-q",
                    lambda: draw_quality(rows, name, model),
                )
            ],
            large=True,
        )
        + quality_tables(results)
        + "<h3>Transfer</h3>"
        + _gain(results)
        + _transfer(results, description, prefix)
        + "<h3>Cold and warm users</h3>"
        + _users(results, model, prefix)
        + "<h3>Rare and frequent items</h3>"
        + _items(results, model, prefix)
    )


def _gain(results: Results) -> str:
    """What the other markets are worth: the run beside the same system learned alone."""
    if results.gains is None:
        return missing("the gain from the other markets", "crossmarket evaluate RUN --alone")
    control = ("alone", "the same system learned from the market alone: what the others add")
    return against(SELECTION_METRIC, results.gains[SELECTION_METRIC], control)


def _transfer(results: Results, description: Description, prefix: str) -> str:
    rows = [row for row in results.standings[SELECTION_METRIC] if row.scope == "market"]
    if len(rows) < 3:
        return paragraph("With fewer than three targets there is no pattern to look for.")
    name = metric_name(SELECTION_METRIC)
    alike = dict(zip(description.markets, _similarity(description), strict=True))
    sizes = {market: float(number) for market, number in results.interactions.items()}
    drawn = []
    for place, (x, label, log) in enumerate(
        (
            (sizes, "training interactions (logarithmic)", True),
            (alike, "mean cosine similarity to the other markets", False),
        )
    ):
        drawn.append(
            picture(
                f"{name} against " + ("size of the market", "similarity to the others")[place],
                "",
                f"{prefix}-x{place}",
                partial(draw_against, rows, x, label, name, log=log),
            )
        )
    return paragraph(
        "If other markets help, small markets and those that buy like the others should stand "
        "far above popularity. A dot is this run, the empty diamond below or above it "
        f"popularity. With {len(rows)} markets a pattern may well be chance."
    ) + pictures(drawn)


def _similarity(description: Description) -> list[float]:
    others = ~np.eye(len(description.markets), dtype=bool)
    return [float(row[own].mean()) if own.any() else 0.0
            for row, own in zip(description.cosine, others, strict=True)]  # fmt: skip


def _users(results: Results, model: str, prefix: str) -> str:
    most = max(map(_highest, results.users.partition_by("market")))
    drawn = [
        picture(
            str(part["market"][0]),
            _sizes_told(part),
            f"{prefix}-u{place}",
            partial(draw_user_groups, part, most, model),
        )
        for place, part in enumerate(results.users.partition_by("market", maintain_order=True))
    ]
    return paragraph(
        "The tested users of each market in five equally large groups, by how much they did in "
        "training: left the coldest, right the warmest. All markets have the same scale."
    ) + pictures(drawn)


def _sizes_told(groups: pl.DataFrame) -> str:
    least, *_, most = sorted([groups["count"][0], *groups["count"]])
    counts = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    return f"{counts} users in each group."


def _items(results: Results, model: str, prefix: str) -> str:
    drawn = [
        picture(
            str(part["market"][0]),
            "",
            f"{prefix}-i{place}",
            partial(draw_item_groups, part, _highest(part), model),
        )
        for place, part in enumerate(results.items.partition_by("market", maintain_order=True))
    ]
    return paragraph(
        "Held-out interactions by how often their item was sold in the market's training part, "
        "and the share of them that are in their user's list of 10. Popularity can only find "
        "what sells most. A group of few held-out interactions says little; mind the scales."
    ) + pictures(drawn)


def _highest(groups: pl.DataFrame) -> float:
    return float(groups.select(pl.max_horizontal("run", "popularity").max()).item())
