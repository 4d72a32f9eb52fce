"""The command line: parses, calls, prints."""

from __future__ import annotations

import os
import sys

import typer

from crossmarket.cli import (
    analyse,
    artifact,
    compare,
    data,
    demo,
    leaderboard,
    models,
    report,
    reproduce,
    runs,
    serve,
    split,
    tune,
)
from crossmarket.errors import CrossmarketError

app = typer.Typer(
    name="crossmarket",
    help="Recommendations for many markets: learn once from all of them, adapt to each.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
#: Exit code of a command stopped from the keyboard.
_INTERRUPTED = 130

data.app.command(epilog=split.EPILOG)(split.split)
app.add_typer(data.app)
for module in (
    demo,
    models,
    runs,
    artifact,
    report,
    compare,
    tune,
    leaderboard,
    analyse,
    reproduce,
    serve,
):
    for command in module.COMMANDS:
        app.command(epilog=command.epilog)(command.function)


def main() -> None:
    """Run the command line; an error becomes one sentence, a traceback only with `--debug`."""
    # Set before torch is loaded: two threads on a busy machine otherwise spin against others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        code = app(prog_name=app.info.name, standalone_mode=False) or 0
    except (CrossmarketError, typer.TyperException, OSError) as error:
        if debug:
            raise
        message, code = _explain(error)
        sys.stderr.write(message + "\n")
    if code == _INTERRUPTED:
        sys.stderr.write("stopped; the same command resumes\n")
    raise SystemExit(code)


def _explain(error: Exception) -> tuple[str, int]:
    """What to print for an error, and the exit code."""
    if isinstance(error, CrossmarketError):
        return f"error: {error}", error.exit_code
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        place = f" ({error.filename})" if error.filename else ""
        return f"error: the system refused: {reason}{place}", 1
    assert isinstance(error, typer.TyperException)
    text = error.format_message()
    if "\n" in text:  # a command group without a command asks for its whole help
        return text, error.exit_code
    text = text.strip().rstrip(".")
    way_out = "" if text.endswith("?") else "; see --help"
    return f"error: {text[:1].lower()}{text[1:]}{way_out}", error.exit_code
