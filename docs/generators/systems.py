"""The table of systems, from the registry."""

from __future__ import annotations

from docs.generators.markdown import table

from crossmarket.models.registry import MODELS


def render() -> str:
    """Render one row for each registered system."""
    rows = [
        [
            f"[`{name}`](docs/configuration.md#{name})",
            model.summary,
            _yes(model.uses_sources),
            _yes(model.supports_fold_in),
            _yes(model.supports_cold_users),
        ]
        for name, model in MODELS.items()
    ]
    header = ["name", "what it is", "uses sources", "fold-in", "cold users"]
    return "\n".join(table(header, rows))


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
