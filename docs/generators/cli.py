"""The command-line reference, from the command line itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer
from docs.generators.markdown import GENERATED, table
from typer.main import get_command

from crossmarket.cli import app

_INTRODUCTION = """\
`crossmarket COMMAND --help` prints the same in the terminal.

Exit codes: 0 done; 1 the data are bad or a check found something; 2 the request itself is wrong;
130 stopped from the keyboard. An error is one sentence on standard error; `--debug` anywhere on
the line shows the traceback as well. Results go to standard output, progress to standard error,
and progress bars only to a terminal."""

_KINDS = {"str": "TEXT", "int": "N", "float": "X", "list": "TEXT"}


def render() -> str:
    """Render the whole page."""
    root = get_command(app)
    lines = [GENERATED, "", "# Command line", "", root.help or "", "", _INTRODUCTION, ""]
    for name, command in _commands(root, "crossmarket"):
        lines += _section(name, command)
    return "\n".join(lines).rstrip() + "\n"


def _commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        full = f"{prefix} {name}"
        if getattr(command, "commands", None):
            yield from _commands(command, full)
        else:
            yield full, command


def _section(name: str, command: Any) -> list[str]:
    context = typer.Context(command, info_name=name)
    arguments, options = [], []
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is None or "--help" in parameter.opts:
            continue
        named = parameter.opts[0].startswith("-")
        (options if named else arguments).append(_row(parameter, *record))
    placeholders = [row[0].strip("`") for row in arguments]
    lines = [f"## {name}", "", command.help or "", ""]
    lines += ["```text", " ".join([name, "[OPTIONS]", *placeholders]), "```", ""]
    lines += table(["argument or option", "meaning", "default"], [*arguments, *options])
    example = (command.epilog or "").partition("Example: ")[2]
    return [*lines, "", *([f"Example: `{example}`", ""] if example else [])]


def _row(parameter: Any, left: str, right: str) -> list[str]:
    match = re.fullmatch(r"(.*?)\s*(?:\[([^\]]*)\])?", right, flags=re.DOTALL)
    assert match is not None
    facts = [fact.strip() for fact in (match[2] or "").split(";")]
    default = next((fact for fact in facts if fact.startswith("default: ")), "")
    default = f"`{default.removeprefix('default: ')}`" if default else ""
    name = re.sub(r"<(\w+)[^<>|]*>", lambda kind: _KINDS.get(kind[1], ""), left)
    name = re.sub(r"<([^<>]*)>", r"\1", name).strip()
    return [f"`{name}`", match[1], "required" if parameter.required else default]
