"""`crossmarket data split`: the parts of a protocol as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossmarket.cli.commands import DropCompanionsOption, ProtocolOption, SeedOption, example
from crossmarket.data.readers import read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.candidates import keep_candidates
from crossmarket.experiments.stored_split import write_split

EPILOG = example("crossmarket data split markets --protocol time-full --out markets-split")


def split(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Data of any known format.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the store to write.")],
    protocol: ProtocolOption = "ratio-full",
    drop_companions: DropCompanionsOption = False,
    seed: SeedOption = 0,
) -> None:
    """Cut data as a protocol says and write the parts, for `fit --protocol given-full`."""
    data = read_data(path)
    named = Protocol(name=protocol, companions="drop" if drop_companions else "keep")
    made = named.split(data, seed)
    named.require_sound(made)
    write_split(made, data, out)
    keep_candidates(named, made, out / "candidates.parquet")
    for market, counts in made.counts().items():
        numbers = ", ".join(f"{part} {count:,}" for part, count in counts.items())
        typer.echo(f"{market}: {numbers}")
    typer.echo(f"wrote the parts to {out}")
