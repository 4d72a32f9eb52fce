"""The list of analyses, from the analyses themselves."""

from __future__ import annotations

from docs.generators.markdown import table

from crossmarket.analysis.registry import ANALYSES


def render() -> str:
    """Render one row for each analysis."""
    rows = [
        [f"`{analysis.name}`", analysis.summary, analysis.source] for analysis in ANALYSES.values()
    ]
    return "\n".join(table(["name", "what it shows", "after"], rows))
