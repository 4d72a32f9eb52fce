"""The pictures of the page: quality against costs, and one protocol against another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from crossmarket.experiments.leaderboard.board import MACRO, Block, Leaderboard, System
from crossmarket.experiments.leaderboard.plots import Axis, Point, scatter
from crossmarket.experiments.leaderboard.wording import SECONDS_MEANING, mean_text
from crossmarket.experiments.pages.shell import figure

#: Not every mark has room for its label.
POINT_AT = "Point at a mark for its name and numbers."


def costs(block: Block, metric: str, systems: Mapping[str, System]) -> str:
    """Quality against seconds, where costs were kept."""
    points = []
    for entry in block.measured:
        seconds, cell = entry.cpu_seconds, entry.cells[metric][MACRO]
        if seconds:
            detail = f"{mean_text(cell)} {metric}, {seconds:,.0f} CPU seconds"
            points.append(
                Point(entry.title, systems[entry.title].family, seconds, cell.mean, detail)
            )
    if len(points) < 2:
        return ""
    picture = scatter(
        points,
        Axis("processor seconds, all markets of one seed (logarithmic)", log=True),
        Axis(f"{metric}, mean over markets"),
        f"{metric} against processor seconds under {block.protocol}",
    )
    return figure(
        f"What quality costs: {metric}, {block.protocol}",
        picture,
        f"Up is better, left is cheaper. {POINT_AT} {SECONDS_MEANING}",
        attributes=f' data-metric="{escape(metric)}"',
    )


def pairs(board: Leaderboard, systems: Mapping[str, System]) -> Iterator[str]:
    """The first protocol against each other one, those on the same data first."""
    first, *others = board.blocks
    for other in sorted(others, key=lambda block: block.data != first.data):
        for metric in (name for name in first.metrics if name in other.metrics):
            points = []
            for one, two in zip(first.entries, other.entries, strict=True):
                if one.reason is None and two.reason is None:
                    x, y = two.cells[metric][MACRO], one.cells[metric][MACRO]
                    detail = (
                        f"{mean_text(x)} under {other.protocol}, "
                        f"{mean_text(y)} under {first.protocol}"
                    )
                    family = systems[one.title].family
                    points.append(Point(one.title, family, x.mean, y.mean, detail))
            if len(points) > 1:
                heading = f"{other.protocol} against {first.protocol}: {metric}"
                picture = scatter(
                    points,
                    Axis(f"{metric} under {other.protocol}"),
                    Axis(f"{metric} under {first.protocol}"),
                    heading,
                )
                scales = "scales" if other.data == first.data else "data and scales"
                told = (
                    "Were the two protocols to agree, the systems would climb from the lower left "
                    f"to the upper right. Mean over markets; mind the different {scales}. "
                    f"{POINT_AT}"
                )
                of_metric = f' data-metric="{escape(metric)}"'
                yield figure(heading, picture, told, attributes=of_metric)
