"""The command line: parses, calls, prints."""

from __future__ import annotations

import os
import sys

import typer

from crossmarket.cli import compare, data, demo, runs, split
from crossmarket.errors import CrossmarketError

app = typer.Typer(
    name="crossmarket",
    help="Recommendations for many markets: learn once from all of them, adapt to each.",
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data.app.command(epilog=split.EXAMPLE)(split.split)
app.add_typer(data.app)
for module in (demo, runs, compare):
    for command in module.COMMANDS:
        app.command(epilog=command.example)(command.function)


def main() -> None:
    """Run the command line; an error becomes one sentence, a traceback only with `--debug`."""
    # Set before torch is loaded: two threads on a busy machine otherwise spin against others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    try:
        app()
    except CrossmarketError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(error.exit_code) from None
    except OSError as error:
        if debug:
            raise
        reason = error.strerror or type(error).__name__
        place = f" ({error.filename})" if error.filename else ""
        sys.stderr.write(f"error: the system refused: {reason}{place}\n")
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        sys.stderr.write("stopped; the same command resumes\n")
        raise SystemExit(130) from None
