"""The frame of a page that opens without a network, and elements that pages share."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template

_ASSETS = resources.files("crossmarket.experiments.pages") / "assets"


def render_page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """Frame a page: one file that asks the network for nothing, light or dark as its reader.

    Parameters
    ----------
    title : str
        Plain text for the tab of the browser.
    body : str
        HTML of the page.
    style : str
        Rules of this page, after those that all pages share.
    script : str
        Its script; without one the page allows none to run.
    """
    return Template(_asset("shell.html")).substitute(
        scripts="'unsafe-inline'" if script else "'none'",
        title=escape(title),
        style=_asset("base.css") + style,
        body=body,
        script=f"<script>\n{script}\n</script>" if script else "",
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def number_cell(text: str, value: float) -> str:
    """A table cell of a number, with its exact value beside the rounded text."""
    return f'<td class="number" data-value="{value!r}">{escape(text)}</td>'


def scroll(content: str, name: str, *, kind: str = "", attributes: str = "") -> str:
    """A box that scrolls what is wider than the screen, by keyboard too.

    Parameters
    ----------
    content : str
        HTML of the inside.
    name : str
        What it shows, for people who hear it.
    kind : str
        A further class.
    attributes : str
        Further attributes, as HTML.
    """
    classes = f"scroll {kind}".strip()
    return (
        f'<div class="{classes}"{attributes} tabindex="0" role="region" '
        f'aria-label="{escape(name)}">{content}</div>'
    )


def figure(heading: str, picture: str, told: str, *, attributes: str = "") -> str:
    """A picture with its heading above and what to see in it below.

    Parameters
    ----------
    heading, told : str
        Plain text.
    picture : str
        Inline SVG.
    attributes : str
        Further attributes of the figure, as HTML.
    """
    return (
        f"<figure{attributes}><h3>{escape(heading)}</h3>"
        + scroll(picture, heading, kind="plot")
        + f"<figcaption>{escape(told)}</figcaption></figure>"
    )
