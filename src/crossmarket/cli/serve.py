"""`crossmarket serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossmarket.cli.commands import Command, example


def serve(
    artifact: Annotated[
        Path, typer.Argument(metavar="ARTIFACT", help="Folder that `package` made.")
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    depot: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of market folders to swap in; keeps the state."),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of administration; none without it."),
    ] = None,
    read_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of readers; else CROSSMARKET_READ_KEY."),
    ] = None,
    admin_key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of administration; else CROSSMARKET_ADMIN_KEY."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name by which clients may call it; repeatable.")
    ] = None,
    access_log: Annotated[
        bool, typer.Option("--access-log", help="Log every request, without its ids.")
    ] = False,
) -> None:
    """Answer over HTTP from an artifact; swap, roll back and remove markets while it runs."""
    from crossmarket.errors import UsageError

    try:
        from crossmarket.serving.server import run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"serving needs {error.name}; run `pip install 'crossmarket[serve]'`"
        ) from error
    from crossmarket.serving.settings import Settings

    settings = Settings.make(
        artifact,
        read_key_file=read_key_file,
        admin_key_file=admin_key_file,
        host=host,
        port=port,
        admin_port=admin_port,
        depot=depot,
        allowed_hosts=frozenset(allow_host or ()),
        access_log=access_log,
    )
    run(settings, typer.echo)


COMMANDS = (Command(serve, example("crossmarket serve artifact --port 8080")),)
