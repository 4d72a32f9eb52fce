"""The picture of the floors, from the import contract that the linter enforces."""

from __future__ import annotations

import ast
import tomllib
from html import escape
from pathlib import Path

_WIDTH, _LEFT, _RIGHT = 880, 24, 64
_HEIGHT, _GAP, _TOP = 58, 14, 64
_FONT = "font-family='Helvetica, Arial, sans-serif'"


def read_floors(root: Path) -> list[list[str]]:
    """Return the packages of each floor, the top floor first, as `pyproject.toml` orders them."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [[name.strip() for name in layer.replace("|", ":").split(":")] for layer in layers]


def free_of_torch(root: Path) -> set[str]:
    """Packages that a contract keeps from importing torch."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return {
        name
        for contract in contracts
        if contract["type"] == "forbidden" and "torch" in contract["forbidden_modules"]
        for name in contract["source_modules"]
    }


def summary(root: Path, package: str) -> str:
    """First sentence of a package's or module's docstring."""
    place = root / "src" / Path(*package.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def render(root: Path) -> str:
    """Render the picture as SVG."""
    floors, bare = read_floors(root), free_of_torch(root)
    height = _TOP + len(floors) * (_HEIGHT + _GAP) + 10
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_WIDTH} {height}' "
        f"width='{_WIDTH}' height='{height}' role='img' aria-label='Floors of the package'>",
        f"<rect width='{_WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(_LEFT, 28, "The floors of crossmarket", 18, "#1b2733", bold=True),
        _text(
            _LEFT,
            48,
            "A package imports from floors below its own, never from above.",
            13,
            "#51606e",
        ),
    ]
    for position, packages in enumerate(floors):
        top = _TOP + position * (_HEIGHT + _GAP)
        space = _WIDTH - _LEFT - _RIGHT
        width = (space - (len(packages) - 1) * _GAP) / len(packages)
        for place, package in enumerate(packages):
            left = _LEFT + place * (width + _GAP)
            parts += _box(root, package, left, top, width, position / len(floors), bare)
    parts += [_arrow(_WIDTH - 36, _TOP + 4, height - 22), "</svg>"]
    return "\n".join(parts) + "\n"


def _box(
    root: Path, package: str, left: float, top: int, width: float, depth: float, bare: set[str]
) -> list[str]:
    shade = round(250 - 42 * depth)
    name = package.removeprefix("crossmarket.")
    lines = _wrap(summary(root, package).rstrip("."), int(width / 6.4))
    badge = " · no torch" if package in bare else ""
    box = [
        f"<rect x='{left:.0f}' y='{top}' width='{width:.0f}' height='{_HEIGHT}' rx='6' "
        f"fill='rgb({shade - 18},{shade - 4},{shade})' stroke='#7b8fa3'/>",
        _text(left + 14, top + 21, name + badge, 15, "#12324f", bold=True),
    ]
    first = top + 40 if len(lines) == 1 else top + 37
    return box + [
        _text(left + 14, first + 14 * row, line, 12, "#33434f") for row, line in enumerate(lines)
    ]


def _wrap(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if len(joined) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def _text(
    left: float, baseline: float, text: str, size: int, colour: str, bold: bool = False
) -> str:
    weight = " font-weight='bold'" if bold else ""
    return (
        f"<text x='{left:.0f}' y='{baseline:.0f}' {_FONT} font-size='{size}' "
        f"fill='{colour}'{weight}>{escape(text)}</text>"
    )


def _arrow(left: int, top: int, bottom: int) -> str:
    label = f"{left + 22},{(top + bottom) // 2}"
    return (
        f"<path d='M{left} {top} V{bottom - 10}' stroke='#7b8fa3' stroke-width='2' fill='none'/>"
        f"<path d='M{left - 6} {bottom - 12} L{left} {bottom} L{left + 6} {bottom - 12} Z' "
        "fill='#7b8fa3'/>"
        f"<text {_FONT} font-size='12' fill='#51606e' text-anchor='middle' "
        f"transform='translate({label}) rotate(-90)'>imports</text>"
    )
