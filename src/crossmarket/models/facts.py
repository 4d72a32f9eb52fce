"""What a system is, can do and is set to, as listings and pages show it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig

#: Data and target on which `parameters.json` counts; the counts are of its training part.
COUNTED_ON = "XMarket uk"


@dataclass(frozen=True)
class Setting:
    """One value of a config.

    Attributes
    ----------
    field : str
        Name, dotted for a field of a nested config.
    value : Any
        JSON-able value.
    meaning, source : str
        What it is, and where the default comes from.
    """

    field: str
    value: Any
    meaning: str
    source: str


def settings(config: ModelConfig, prefix: str = "") -> Iterator[Setting]:
    """Every value of a config and of the configs in it, in the order of definition."""
    values = config.model_dump(mode="json")
    for name, field in type(config).model_fields.items():
        inner = getattr(config, name)
        if isinstance(inner, ModelConfig):
            yield from settings(inner, f"{prefix}{name}.")
        else:
            description = split_description(field.description or "")
            yield Setting(prefix + name, values[name], *description)


def split_description(text: str) -> tuple[str, str]:
    """Split a description such as `Width. Source: DCMPT, 64.` into meaning and source."""
    match = re.fullmatch(r"(.*?)(?:\s*Source: (.*?)\.?)?", text, flags=re.DOTALL)
    assert match is not None  # the first group takes any text
    return match[1].strip().rstrip("."), match[2] or ""


def supports(model: type[Recommender]) -> list[str]:
    """What a system can do beyond scoring known users of its market."""
    facts = {
        "sources": model.uses_sources,
        "fold-in": model.supports_fold_in,
        "cold users": model.supports_cold_users,
    }
    return [name for name, holds in facts.items() if holds]


@cache
def trainable_counts() -> dict[str, int]:
    """Trainable scalars of the built-in systems under their default settings, by name.

    They are counted on the training part of `COUNTED_ON`, whose vocabularies decide the sizes of
    the tables; `python -m docs.parameters` writes the file.
    """
    file = resources.files("crossmarket.models") / "parameters.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))["trainable"])
