"""Packages that look installed: modules and the metadata of a distribution, without pip."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "biased-mf"
GROUP = "crossmarket.models"


def install(folder, name, entries, modules=None, *, version="1.0"):
    """Put a distribution with systems (`name = "module:Class"`) into a folder for `sys.path`."""
    folder.mkdir(parents=True, exist_ok=True)
    for module, text in (modules or {}).items():
        (folder / f"{module}.py").write_text(text, encoding="utf-8")
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(facts)
    lines = [f"{system} = {value}\n" for system, value in entries.items()]
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\n" + "".join(lines))
    return folder


def install_example(folder):
    """Install the package of the documentation as its own `pyproject.toml` describes it."""
    description = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))
    project, build = description["project"], description["tool"]["setuptools"]
    install(folder, project["name"], project["entry-points"][GROUP], version=project["version"])
    for module in build["py-modules"]:
        shutil.copy(EXAMPLE / f"{module}.py", folder)
    return folder


def run_with(folder, *arguments, cwd):
    """Run a command in a process of its own that finds what is installed in a folder."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "crossmarket", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
