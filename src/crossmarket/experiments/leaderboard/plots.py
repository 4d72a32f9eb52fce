"""Scatter plots as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

#: Families in the order of the legend; a class of the style sheet and a shape each.
FAMILIES = ("control", "single", "merged", "multi-task", "cross-domain", "cross-market", "unknown")
_WIDTH, _HEIGHT = 760, 470
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 14, 40, 52
#: Size of a label's letters, in units of the picture.
_LETTER, _LINE = 6.6, 13.0


@dataclass(frozen=True)
class Point:
    """A system in a plot; `detail` appears when it is pointed at."""

    title: str
    family: str
    x: float
    y: float
    detail: str


@dataclass(frozen=True)
class Axis:
    """What an axis shows; logarithmic where the values span decades."""

    name: str
    log: bool = False


def scatter(points: Sequence[Point], x: Axis, y: Axis, name: str) -> str:
    """Draw points with as many labels as fit, those of the highest points first.

    Parameters
    ----------
    points : sequence of Point
        Values on a logarithmic axis must be above 0.
    x, y : Axis
        Names and scales.
    name : str
        What the picture shows, for people who hear it.
    """
    across = _Scale([p.x for p in points], x.log, _LEFT, _WIDTH - _RIGHT)
    up = _Scale([p.y for p in points], y.log, _HEIGHT - _BOTTOM, _TOP)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(name)}">',
        *_legend(points),
    ]
    for value, text in across.ticks():
        at = across(value)
        parts.append(
            f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
        )
        parts.append(_text(at, _HEIGHT - _BOTTOM + 17, text, "middle"))
    for value, text in up.ticks():
        at = up(value)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        )
        parts.append(_text(_LEFT - 7, at + 4, text, "end"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x.name, "middle", "axis"))
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text class="axis" text-anchor="middle" '
        f'transform="translate(15 {middle:.1f}) rotate(-90)">{escape(y.name)}</text>'
    )
    placed = [(across(p.x), up(p.y), p) for p in points]
    for left, top, point in placed:
        mark = _mark(left, top, point.family, f"{point.title}: {point.detail}")
        parts.append(mark)
    parts += _labels(placed)
    return "\n".join([*parts, "</svg>"])


class _Scale:
    """Values to places of the picture, with round limits."""

    def __init__(self, values: Sequence[float], log: bool, start: float, end: float) -> None:
        self.log, self.start, self.end = log, start, end
        low, high = min(values), max(values)
        if log:
            self.low, self.high = low / 1.3, high * 1.5
        else:
            # From 0, unless that would press all points into one end.
            bottom = 0.0 if 0 <= low < high / 2 else low - 0.1 * (high - low)
            self.step = _round_step((high - bottom) / 5 or 1.0)
            self.low = math.floor(bottom / self.step) * self.step
            self.high = high + 0.06 * (high - self.low) or 1.0

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[tuple[float, str]]:
        if self.log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            steps = [m * 10.0**d for d in decades for m in (1, 2, 5)]
            return [(v, f"{v:g}") for v in steps if self.low <= v <= self.high]
        count = math.floor((self.high - self.low) / self.step + 1e-9)
        return [
            (self.low + i * self.step, f"{self.low + i * self.step:.4g}") for i in range(count + 1)
        ]


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= step * 0.999)


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _mark(x: float, y: float, family: str, told: str = "") -> str:
    """A shape for each family, so that colour is not needed to tell them apart."""
    r, place = 5.5, FAMILIES.index(family)
    shapes = {
        "control": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>',
        "single": f'<rect x="{x - 5:.1f}" y="{y - 5:.1f}" width="10" height="10"/>',
        "merged": _polygon(x, y, [(0, -6.5), (6.2, 5), (-6.2, 5)]),
        "multi-task": _polygon(x, y, [(0, -7), (7, 0), (0, 7), (-7, 0)]),
        "cross-domain": _polygon(x, y, [(0, 6.5), (6.2, -5), (-6.2, -5)]),
        "cross-market": _polygon(
            x, y,
            [(7.5 * math.sin(i * math.pi / 5) * (1 - 0.55 * (i % 2)),
              -7.5 * math.cos(i * math.pi / 5) * (1 - 0.55 * (i % 2))) for i in range(10)],
        ),
        "unknown": f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/>',
    }  # fmt: skip
    title = f"<title>{escape(told)}</title>" if told else ""
    return f'<g class="mark f{place}">{title}{shapes[family]}</g>'


def _polygon(x: float, y: float, corners: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}"/>'


def _legend(points: Sequence[Point]) -> list[str]:
    parts, left = [], float(_LEFT)
    there = {point.family for point in points}
    for family in FAMILIES:
        if family in there:
            parts += [_mark(left + 6, 15, family), _text(left + 17, 19, family, "start", "key")]
            left += 34 + _LETTER * 1.1 * len(family)
    return parts


def _labels(placed: Sequence[tuple[float, float, Point]]) -> list[str]:
    """Labels that touch neither a mark, nor each other, nor the frame."""
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y, _ in placed]
    parts = []
    for x, y, point in sorted(placed, key=lambda entry: (entry[1], entry[0])):
        width = _LETTER * len(point.title)
        for left, top in ((x + 10, y - 6), (x - 10 - width, y - 6), (x - width / 2, y - 21),
                          (x - width / 2, y + 9), (x + 8, y - 17), (x + 8, y + 5)):  # fmt: skip
            box = (left, top, left + width, top + _LINE)
            inside = box[0] > _LEFT and box[2] < _WIDTH and box[1] > _TOP - 12
            inside = inside and box[3] < _HEIGHT - _BOTTOM
            if inside and not any(_touch(box, other) for other in taken):
                taken.append(box)
                parts.append(_text(left, top + 10, point.title, "start", "label"))
                break
    return parts


def _touch(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
