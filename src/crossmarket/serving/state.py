"""Which versions a service serves, in one file that is replaced in one step."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossmarket.errors import DataError
from crossmarket.files import write_json

STATE = "state.json"
_HASH = r"^[0-9a-f]{64}$"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Version(_Record):
    """A version of a market and where it comes from.

    Attributes
    ----------
    version : str
        Hash of the market's manifest.
    folder : str or None
        Folder of the depot; None for the one in the artifact.
    """

    version: str = Field(pattern=_HASH)
    folder: str | None


class Line(_Record):
    """The versions of a market, oldest first.

    Attributes
    ----------
    versions : tuple of Version
        The last one is the current one.
    served : bool
        Whether the market is served at all.
    """

    versions: tuple[Version, ...] = ()
    served: bool = True

    @property
    def current(self) -> Version | None:
        """What is served; None for nothing."""
        return self.versions[-1] if self.versions and self.served else None


class State(_Record):
    """What administration decided, market by market, on top of one artifact.

    Attributes
    ----------
    artifact : str
        Hash of the artifact's manifest; decisions on another artifact do not count for it.
    lines : dict of market to Line
        Markets that differ from the artifact.
    """

    artifact: str = Field(pattern=_HASH)
    lines: dict[str, Line] = {}


def read_state(depot: Path, artifact: str) -> State:
    """The state of an artifact that a service left; an empty one if it left none.

    Raises
    ------
    DataError
        If the file is damaged: what would be served then is not what was decided.
    """
    path = depot / STATE
    if not path.exists():
        return State(artifact=artifact)
    try:
        # JSON has no tuples, so it is read in the mode that allows lists for them.
        state = State.model_validate_json(path.read_bytes())
    except (ValidationError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged; remove it to serve the artifact as it is") from error
    return state if state.artifact == artifact else State(artifact=artifact)


def write_state(depot: Path, state: State) -> None:
    """Put the state in place; after a kill at any moment the old or the new one is there."""
    write_json(depot / STATE, state.model_dump(mode="json"))
