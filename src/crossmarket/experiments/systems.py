"""A system of an experiment, and those that the catalogue knows by title."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.fitting import SourceSplit
from crossmarket.experiments.yaml_files import load_yaml
from crossmarket.models.config import merge_values

#: Data files of the package: systems by title, settings found for them, published tables, the demo.
CATALOGUE = resources.files("crossmarket.experiments") / "catalogue"

_BY_DATE = "time-full"


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
def starting_systems() -> dict[str, SystemConfig]:
    """Every system of the catalogue as a search for settings starts, by title, in its order."""
    entries = load_yaml(CATALOGUE / "systems.yaml")["systems"]
    systems = [SystemConfig.model_validate(entry) for entry in entries]
    return {system.title: system for system in systems}


def known_systems(protocol: Protocol | None = None) -> dict[str, SystemConfig]:
    """Every system of the catalogue with the settings that it is measured with.

    Parameters
    ----------
    protocol : Protocol, optional
        Under which; `ratio-full` by default. What is good among companions of the same day may be
        bad after a date, so settings found under one do not hold under every other.

    Returns
    -------
    dict of title to SystemConfig, in the order of the catalogue.
    """
    dated = protocol is not None and protocol.name == _BY_DATE
    return _tuned_systems(_BY_DATE if dated else Protocol().name)


def find_system(title: str, protocol: Protocol | None = None) -> SystemConfig:
    """The catalogue's system of a title, with the settings that it is measured with.

    Raises
    ------
    UsageError
        If there is none; the message lists the titles.
    """
    return _find(title, known_systems(protocol))


def matching_titles(entries: Sequence[str]) -> tuple[str, ...]:
    """Titles of the catalogue, in the order given; an entry may be a pattern such as `LightGCN *`.

    Raises
    ------
    UsageError
        If an entry is no title and matches none; the message lists the titles.
    """
    systems, titles = known_systems(), dict[str, None]()
    for entry in entries:
        found = [entry] if entry in systems else fnmatch.filter(systems, entry)
        titles |= dict.fromkeys(found or [find_system(entry).title])
    return tuple(titles)


def resolve_system(entry: str | SystemConfig, protocol: Protocol | None = None) -> SystemConfig:
    """A system as it is, or the catalogue's of a title; see `find_system`."""
    return find_system(entry, protocol) if isinstance(entry, str) else entry


def find_start(title: str) -> SystemConfig:
    """The catalogue's system of a title as a search begins; raises what `find_system` does."""
    return _find(title, starting_systems())


def with_settings(system: SystemConfig, settings: Mapping[str, Any]) -> SystemConfig:
    """The system with some settings changed, given by their dotted names."""
    config = system.config
    for name, value in settings.items():
        nested = value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        config = merge_values(config, nested)
    return system.model_copy(update={"config": config})


def _find(title: str, systems: Mapping[str, SystemConfig]) -> SystemConfig:
    if title not in systems:
        raise UsageError(
            f"the catalogue has no system {title!r}; choose from: {'; '.join(systems)}"
        )
    return systems[title]


@cache
def _tuned_systems(searched_under: str) -> dict[str, SystemConfig]:
    found = load_yaml(CATALOGUE / "tuned.yaml").get(searched_under, {})
    return {
        title: with_settings(system, found.get(title, {}))
        for title, system in starting_systems().items()
    }
