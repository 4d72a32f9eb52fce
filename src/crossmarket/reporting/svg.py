"""Pictures of matplotlib as part of a page, in the page's own colours."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

from crossmarket.analysis.pictures import COLOURS, FAINT, INK, PAPER, house_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The run's marks and popularity's: tellable apart in grey, too.
RUN, CONTROL = COLOURS[0], COLOURS[7]
#: Colours of the house style that the style sheet sets, light or dark.
_VARIABLES = {
    INK.lower(): "ink",
    FAINT.lower(): "faint",
    PAPER.lower(): "rule",
    RUN.lower(): "f1",
    COLOURS[2].lower(): "f2",
    COLOURS[1].lower(): "f4",
    CONTROL.lower(): "f0",
}
_COLOUR = re.compile("|".join(_VARIABLES))
#: What a file of its own needs and a part of a page does not.
_OUTSIDE = re.compile(
    r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>|<!--.*?-->"
    r"|<defs>\s*<style.*?</style>\s*</defs>"
    r'|\sxmlns(?::\w+)?="[^"]*"|\stransform="rotate\(-0 [^"]*"',
    re.DOTALL,
)
_ID = re.compile(r'\sid="([^"]*)"')
_REFERENCE = re.compile(r'(?:url\(#|href="#)([^)"]*)')
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_TAG = re.compile(r"<[^>]*>")
_LINES = re.compile(r"(>?)\n\s*(<?)")


def inline_svg(name: str, prefix: str, draw: Callable[[], Figure]) -> str:
    """Draw a figure in the house style as SVG for the inside of a page.

    Parameters
    ----------
    name : str
        What it shows, for people who hear it.
    prefix : str
        What its ids start with; unique in the page.
    draw : callable
        Makes the figure; the same figure gives the same text.
    """
    import matplotlib as mpl  # noqa: PLC0415 - slow to import

    buffer = io.StringIO()
    # Text stays text: found, copied, read aloud; a name such as `$x` is no formula.
    settings: Any = {"svg.fonttype": "none", "text.parse_math": False}
    with house_style(), mpl.rc_context(settings), warnings.catch_warnings():
        # The reader's browser has the letters that the font measured with lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw().savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = _OUTSIDE.sub("", buffer.getvalue()).replace("xlink:href", "href")
    text = _LINES.sub(lambda own: own[1] + ("" if own[1] or own[2] else " ") + own[2], text)
    used = set(_REFERENCE.findall(text))
    text = _TAG.sub(lambda tag: _adapted(tag[0], prefix, used), text)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(name)}"', 1).strip()


def _adapted(tag: str, prefix: str, used: set[str]) -> str:
    """A tag with ids of its page, variables for colours, and hundredths of a point at most."""
    tag = _ID.sub(lambda own: f' id="{prefix}-{own[1]}"' if own[1] in used else "", tag)
    tag = _REFERENCE.sub(lambda own: own[0].replace("#", f"#{prefix}-"), tag)
    tag = _COLOUR.sub(lambda own: f"var(--{_VARIABLES[own[0]]})", tag)
    return _DECIMALS.sub(r"\1", tag).replace("'DejaVu Sans'", "inherit")
