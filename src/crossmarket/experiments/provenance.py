"""What a result was made with, so that it can be made again."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import crossmarket
from crossmarket.models.registry import plug_in_versions

_LIBRARIES = ("numpy", "scipy", "polars", "torch", "safetensors")
#: Of an installed package; looking one up reads and parses its metadata.
_version = cache(version)


def versions(*models: str) -> dict[str, str]:
    """Versions of this package, Python, the numeric libraries and what made a result.

    Parameters
    ----------
    *models : str
        Names of systems in use; the packages of those that are plug-ins are added.
    """
    own = {"crossmarket": crossmarket.__version__, "python": platform.python_version()}
    libraries = {name: _version(name) for name in _LIBRARIES}
    return {**own, **libraries, **plug_in_versions(models)}


def commit() -> str | None:
    """Commit of the source tree this package runs from; None for an installed package.

    A tree with uncommitted changes is marked by a trailing `+`.
    """
    folder = Path(crossmarket.__file__).parent
    if not any((parent / ".git").exists() for parent in folder.parents):
        return None
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return None
    return revision + ("+" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
