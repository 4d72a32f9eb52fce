"""Systems of other packages, found through the entry points that these declare."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import get_args

from crossmarket.errors import UsageError
from crossmarket.models.base import Family, Recommender
from crossmarket.models.config import ModelConfig

#: Group of the entry points; the name is the system's, the value `module:Class`.
GROUP = "crossmarket.models"

_FACTS = ("name", "summary", "paper", "family", "config_class")


@dataclass(frozen=True)
class PlugIn:
    """A system that an installed package offers; nothing of it is imported before `load`.

    Attributes
    ----------
    name : str
        Short name of the system.
    package, version : str
        The distribution it comes from.
    """

    name: str
    package: str
    version: str
    _entry_point: EntryPoint

    def __str__(self) -> str:
        return f"system {self.name!r} of package {self.package} {self.version}"

    def load(self) -> type[Recommender]:
        """Import the system.

        Raises
        ------
        UsageError
            If the import fails or finds something else than a complete system of that name.
        """
        try:
            found = self._entry_point.load()
        except Exception as error:  # whatever the package's own code raises
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(f"{self} cannot be imported, repair or remove it: {reason}") from error
        problem = next(self._problems(found), None)
        if problem is not None:
            raise UsageError(f"{self} cannot be used, repair or remove it: {problem}")
        return found  # type: ignore[no-any-return]

    def _problems(self, found: object) -> Iterator[str]:
        """What is wrong with what was imported; later checks rely on earlier ones."""
        what = self._entry_point.value
        if not (inspect.isclass(found) and issubclass(found, Recommender)):
            yield f"{what} is no subclass of {Recommender.__module__}.Recommender"
            return
        if hooks := ", ".join(sorted(getattr(found, "__abstractmethods__", ()))):
            yield f"{what} does not write {hooks}"
        if missing := ", ".join(fact for fact in _FACTS if not hasattr(found, fact)):
            yield f"{what} does not say its {missing}"
        if found.name != self.name:
            yield f"{what} has the name {found.name!r}"
        if found.family not in get_args(Family):
            yield f"{what} has the family {found.family!r}, none of: {', '.join(get_args(Family))}"
        config = found.config_class
        if not (inspect.isclass(config) and issubclass(config, ModelConfig)):
            yield f"the config_class of {what} is no {ModelConfig.__module__}.ModelConfig"


def plug_ins() -> list[PlugIn]:
    """Every system that an installed package offers, by name and package."""
    found = []
    for entry_point in entry_points(group=GROUP):
        package = entry_point.dist
        assert package is not None  # what is installed knows where it comes from
        found.append(PlugIn(entry_point.name, package.name, package.version, entry_point))
    return sorted(found, key=lambda plug_in: (plug_in.name, plug_in.package))


def find_plug_in(name: str) -> PlugIn | None:
    """Return the plug-in of a short name; None where there is none.

    Raises
    ------
    UsageError
        If several packages offer a system of that name.
    """
    found = [plug_in for plug_in in plug_ins() if plug_in.name == name]
    if len(found) > 1:
        packages = " and ".join(plug_in.package for plug_in in found)
        raise UsageError(f"system {name!r} is in packages {packages}; remove all but one")
    return found[0] if found else None
