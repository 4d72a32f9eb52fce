"""`crossmarket package`, `export` and `forget`; and `recommend` from an artifact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossmarket.cli.commands import Command, RunPath, example

if TYPE_CHECKING:
    import polars as pl

    from crossmarket.artifact.answers import Answer

ArtifactPath = Annotated[
    Path, typer.Argument(metavar="ARTIFACT", help="Folder that `package` made.")
]


class ExportFormatName(StrEnum):
    """Formats of `export`."""

    PARQUET = "parquet"
    CSV = "csv"
    TREC = "trec"


def package(
    run: RunPath,
    out: Annotated[Path, typer.Option(metavar="ARTIFACT", help="Folder to ship and serve.")],
    titles: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Table with item_id, title and perhaps market, for readers."
        ),
    ] = None,
) -> None:
    """Make the folder that a shop ships and serves: vectors and tables, read without torch."""
    from crossmarket.artifact.artifact import Artifact
    from crossmarket.experiments.run import Run
    from crossmarket.packaging.package import save_pretrained
    from crossmarket.packaging.titles import read_titles

    opened = Run.open(run)
    named = None if titles is None else read_titles(titles, opened.settings.targets)
    save_pretrained(opened, out, named)
    artifact = Artifact.from_pretrained(out)
    for name, market in artifact.markets.items():
        counts = f"{len(market.users):,} users, {len(market.catalogue):,} items"
        if titles is not None:
            counts += f" ({len(market.titles):,} with a title)"
        typer.echo(f"{name}: {counts}, version {market.version[:12]}")
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    typer.echo(f"wrote {size / 1e6:,.1f} MB to {out}, verified, golden answers replayed")


def export(
    artifact: ArtifactPath,
    market: Annotated[str, typer.Option(help="Market whose users get lists.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="File to write.")],
    format_name: Annotated[
        ExportFormatName, typer.Option("--format", help="Format of the file.")
    ] = ExportFormatName.PARQUET,
    k: Annotated[int, typer.Option("-k", min=1, help="Length of a list.")] = 10,
    include_seen: Annotated[bool, typer.Option(help="Keep items the user has taken.")] = False,
    raw: Annotated[
        bool,
        typer.Option("--raw", help="CSV: no ' before ids that spreadsheets take for formulas."),
    ] = False,
) -> None:
    """Write the lists of all users of a market to a file."""
    from crossmarket.artifact.artifact import Artifact
    from crossmarket.artifact.exporting import lists, write_lists

    table = lists(Artifact.open(artifact).market(market), k, exclude_seen=not include_seen)
    write_lists(table, out, format_name.value, guard=not raw)
    typer.echo(f"wrote {table.height:,} rows to {out}")


def forget(
    artifact: ArtifactPath,
    market: Annotated[str, typer.Option(help="Market of the user.")],
    user: Annotated[str, typer.Option(help="User id.")],
    out: Annotated[Path, typer.Option(metavar="ARTIFACT", help="New folder without the user.")],
) -> None:
    """Take a user out of an artifact, and say whether anything learned from the user is left."""
    from crossmarket.packaging.forgetting import forget as forget_user

    typer.echo(forget_user(artifact, market, user, out).sentence)


def answers(
    path: Path,
    market: str,
    users: Sequence[str] | None,
    histories: Sequence[Sequence[str]],
    **request: Any,
) -> list[dict[str, Any]]:
    """Rows of the lists that an artifact answers with; what it ignored goes to standard error.

    Parameters
    ----------
    users : sequence of str or None
        Whom to answer; None for all users of the market.
    histories : sequence of sequences of item ids
        Further lists, for bare histories.
    """
    from crossmarket.artifact.artifact import Artifact

    opened = Artifact.open(path).market(market)
    names = opened.users.ids.to_list() if users is None else users
    rows = []
    for name in names:
        rows += _rows(name, opened.recommend(name, **request))
    for number, history in enumerate(histories, start=1):
        rows += _rows(f"history-{number}", opened.recommend(history=history, **request))
    return rows


def as_table(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The rows of `answers` as a table; an explanation becomes columns."""
    import polars as pl

    from crossmarket.artifact.exporting import SCHEMA

    flat, explained = [], False
    titled = any("title" in row for row in rows)
    for row in rows:
        why = row.get("why")
        explained |= why is not None
        reasons = [
            f"{_called(one)} {one['effect']:+.3f}" for one in (why or {"reasons": ()})["reasons"]
        ]
        parts = {name: (why or {}).get(name) for name in ("backbone", "prompt")}
        flat.append({**row, **parts, "because": ", ".join(reasons)})
    more = {"backbone": pl.Float64(), "prompt": pl.Float64(), "because": pl.String()}
    schema = {**SCHEMA, **({"title": pl.String()} if titled else {}), **(more if explained else {})}
    return pl.DataFrame(flat, schema=schema)


def explained(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines that tell each list and why each of its items is there; a table would not fit."""
    lines: list[str] = []
    for row in rows:
        if row["rank"] == 1:
            lines.append(f"{row['user_id']} in {row['market']}:")
        lines.append(f"{row['rank']:>3}. {_called(row)}  {row['score']:.4f}  {row['strategy']}")
        why = row["why"]
        if why["backbone"] is not None:
            lines.append(f"     backbone {why['backbone']:+.4f}, prompts {why['prompt']:+.4f}")
        if why["reasons"]:
            reasons = [f"{_called(one)} ({one['effect']:+.4f})" for one in why["reasons"]]
            as_new = ", as for a new user" if why["evidence"] == "fold-in" else ""
            lines.append(f"     because of {', '.join(reasons)}{as_new}")
    return lines


def _called(row: Mapping[str, Any]) -> str:
    title = row.get("title")
    return row["item_id"] if title is None else f"{row['item_id']} {title}"


def _rows(name: str, answer: Answer) -> list[dict[str, Any]]:
    if answer.ignored:
        typer.echo(f"not known here and ignored: {', '.join(answer.ignored)}", err=True)
    found = answer.to_dict()
    return [{"market": answer.market, "user_id": name, **row} for row in found["items"]]


COMMANDS = (
    Command(package, example("crossmarket package run --out artifact")),
    Command(
        export, example("crossmarket export artifact --market mx --format csv --out lists.csv")
    ),
    Command(
        forget, example("crossmarket forget artifact --market mx --user mx-07 --out artifact-2")
    ),
)
