"""The report of a run as one self-contained page."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib import resources
from pathlib import Path

from crossmarket.data.describe import describe
from crossmarket.errors import UsageError
from crossmarket.experiments.pages.shell import render_page
from crossmarket.files import write_text
from crossmarket.reporting.analyses_part import Shown, analyses_part, read_analyses
from crossmarket.reporting.elements import missing, sentences
from crossmarket.reporting.material import Material, read_run
from crossmarket.reporting.overview import data_part, run_part
from crossmarket.reporting.prompts_part import prompts_part
from crossmarket.reporting.protocol_part import protocol_part
from crossmarket.reporting.quality_part import findings
from crossmarket.reporting.results import Results, compute_results

#: Name of the page inside the run where no other is given.
REPORT_FILE = "report.html"


def write_report(path: Path, out: Path | None = None, *, analyses: Path | None = None) -> Path:
    """Write the report of a run; an equal run gives equal bytes.

    Parameters
    ----------
    path : Path
        The run's folder; only the report itself may be written there.
    out : Path, optional
        The page; `report.html` in the run by default. What is there is replaced in one step.
    analyses : Path, optional
        Folder of analyses to show.

    Returns
    -------
    Path of the page.

    Raises
    ------
    UsageError
        If the path is no run, `out` is a folder or no name of a page, or no analysis is there.
    DataError
        If a file of the run was changed.
    """
    place = path / REPORT_FILE if out is None else out
    if place.suffix.lower() not in (".html", ".htm") or place.is_dir():
        raise UsageError(f"cannot write {place}; give the name of a file that ends in .html")
    material = read_run(path)
    shown = None if analyses is None else read_analyses(analyses)
    write_text(place, render_report(material, shown))
    return place


def render_report(material: Material, analyses: tuple[Shown, ...] | None = None) -> str:
    """Render the page; arguments as `write_report`."""
    found = [compute_results(one) for one in material.fitted]
    parts = list(_parts(material, found, analyses))
    links = "".join(f'<a href="#{key}">{escape(title)}</a>' for key, title, _ in parts)
    body = "".join(
        f'<section id="{key}" aria-labelledby="{key}-head"><h2 id="{key}-head">{escape(title)}</h2>'
        f"{content}</section>"
        for key, title, content in parts
    )
    settings = material.run.settings
    return render_page(
        f"crossmarket: report of {material.name}",
        f"<header><h1>{escape(settings.model)} in {escape(_places(settings.targets))}</h1>"
        f'<p class="lead">Report of the run “{escape(material.name)}”: what was done, how good it '
        "is, and what it was made of. A number between 0 and 1 says how much of what users took "
        "next stood among the ten items shown to them, and how high; more is better. Compare "
        "numbers within one protocol only.</p></header>"
        f'<nav aria-label="Parts of the report">{links}</nav><main>{body}</main>',
        style=(resources.files("crossmarket.reporting") / "assets" / "report.css").read_text(
            encoding="utf-8"
        ),
    )


def _places(targets: tuple[str, ...]) -> str:
    return f"{len(targets)} markets" if len(targets) > 3 else ", ".join(targets)


def _parts(
    material: Material, found: list[list[Results]], analyses: tuple[Shown, ...] | None
) -> Iterator[tuple[str, str, str]]:
    """Id, title and content of each part."""
    description = describe(material.run.data.dataset)
    yield "short", "In short", _short(material, found)
    yield "run", "What was run", run_part(material)
    yield "data", "Data", data_part(material, description)
    for place, (fitted, results) in enumerate(zip(material.fitted, found, strict=True)):
        key = f"protocol-{place}"
        content = protocol_part(material, fitted, results, description, key)
        yield key, fitted.protocol.label, content
    prompts = prompts_part(material)
    if prompts:
        yield "prompts", "Prompts", prompts
    fingerprint = material.run.data.dataset.fingerprint
    yield "analyses", "Analyses", analyses_part(analyses, fingerprint)


def _short(material: Material, found: list[list[Results]]) -> str:
    parts = []
    for fitted, results in zip(material.fitted, found, strict=True):
        for one in results:
            label = escape(one.evaluation.protocol.label)
            parts.append(f"<h3>{label}</h3>{sentences(findings(one))}")
        if not results:
            label = escape(fitted.protocol.label)
            command = f"crossmarket evaluate RUN --protocol {fitted.protocol.name}"
            parts.append(f"<h3>{label}</h3>{missing('its results', command)}")
    return "".join(parts) or missing("any result", "crossmarket evaluate RUN")
