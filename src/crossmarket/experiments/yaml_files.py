"""YAML files that people write, read with one clear sentence for a mistake."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from crossmarket.errors import UsageError

Model = TypeVar("Model", bound=BaseModel)


def load_yaml(path: Path | Traversable) -> Any:
    """What a YAML file holds.

    Raises
    ------
    UsageError
        If it cannot be read as that.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not readable YAML: {reason}") from error


def read_yaml(path: Path | Traversable, kind: type[Model], whole: str = "the file") -> Model:
    """Read a YAML file as a pydantic model.

    Parameters
    ----------
    path : Path or Traversable
        The file.
    kind : type
        What it describes.
    whole : str
        What a message calls the file where no single place is wrong.

    Raises
    ------
    UsageError
        With the place of the first mistake.
    """
    found = load_yaml(path)
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        detail = error.errors()[0]
        place = ".".join(str(part) for part in detail["loc"]) or whole
        reason = detail["msg"].removeprefix("Value error, ")
        raise UsageError(f"{path}: {place}: {reason[:1].lower()}{reason[1:]}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
