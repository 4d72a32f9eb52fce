"""A system of an experiment, and those that the catalogue knows by title."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from crossmarket.errors import UsageError
from crossmarket.experiments.fitting import SourceSplit
from crossmarket.experiments.yaml_files import load_yaml

#: Data files of the package: systems by title, published tables, the demo.
CATALOGUE = resources.files("crossmarket.experiments") / "catalogue"


class SystemConfig(BaseModel):
    """One row of the table.

    Attributes
    ----------
    title : str
        How the table calls it.
    model, preset, config
        As `build_model` takes them.
    source_split : {"train", "all"}
        Which interactions of the sources it learns from.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str
    preset: str | None = None
    config: dict[str, Any] = Field(default_factory=dict)
    source_split: SourceSplit = "train"


@cache
def known_systems() -> dict[str, SystemConfig]:
    """Every system of the catalogue by its title, in the order of its file."""
    entries = load_yaml(CATALOGUE / "systems.yaml")["systems"]
    systems = [SystemConfig.model_validate(entry) for entry in entries]
    return {system.title: system for system in systems}


def find_system(title: str) -> SystemConfig:
    """The catalogue's system of a title.

    Raises
    ------
    UsageError
        If there is none; the message lists the titles.
    """
    if title not in known_systems():
        titles = ", ".join(known_systems())
        raise UsageError(f"the catalogue has no system {title!r}; choose from: {titles}")
    return known_systems()[title]
