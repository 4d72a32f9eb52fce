"""The table of systems, from the registry."""

from __future__ import annotations

from docs.generators.markdown import table

from crossmarket.models.facts import COUNTED_ON, supports, trainable_counts
from crossmarket.models.registry import MODELS


def render() -> str:
    """Render one row for each built-in system."""
    counts = trainable_counts()
    rows = [
        [
            f"[`{name}`](docs/configuration.md#{name})",
            model.summary,
            model.paper,
            model.family,
            f"{counts[name]:,}" if name in counts else "-",
            ", ".join(supports(model)),
        ]
        for name, model in MODELS.items()
    ]
    header = ["name", "what it is", "paper", "family", f"parameters<br>{COUNTED_ON}", "supports"]
    return "\n".join(table(header, rows, "llllr"))
