"""`crossmarket data`: describe, convert and simulate the interactions of markets."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import ValidationError
from rich.console import Console

from crossmarket.cli.commands import example
from crossmarket.data.accounting import ReadResult
from crossmarket.data.describe import describe as describe_dataset
from crossmarket.data.describe import draw, tables
from crossmarket.data.readers import FORMATS, ColumnMap, read_data
from crossmarket.data.simulate import SimulationConfig
from crossmarket.data.simulate import simulate as simulate_markets
from crossmarket.data.store import write_store
from crossmarket.errors import UsageError

app = typer.Typer(
    name="data",
    help="Describe, convert and simulate the interactions of markets.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

FormatName = StrEnum("FormatName", {name: name for name in FORMATS})  # type: ignore[misc]


class TimeUnitName(StrEnum):
    """Units of numeric times."""

    AUTO = "auto"
    S = "s"
    MS = "ms"


DataPath = Annotated[Path, typer.Argument(metavar="PATH", help="File or folder to read.")]
FormatOption = Annotated[
    FormatName | None, typer.Option("--format", help="Its format; found from the path if left out.")
]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        metavar="ROLE=NAME,...",
        help="Columns by role (market, user, item, weight, timestamp): user=buyer,item=sku.",
    ),
]
MinWeightOption = Annotated[
    float | None, typer.Option(help="Leave out rows of a lower weight (rating, count).")
]
TimeUnitOption = Annotated[TimeUnitName, typer.Option(help="Unit of numeric times.")]
MaxRejectedOption = Annotated[
    float, typer.Option(help="Share of broken rows, 0 to 1, above which reading fails.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]


@app.command(
    epilog=example(
        "crossmarket data simulate --out markets && "
        "crossmarket data describe markets --plot markets.svg"
    )
)
def describe(
    path: DataPath,
    format_name: FormatOption = None,
    columns: ColumnsOption = None,
    min_weight: MinWeightOption = None,
    time_unit: TimeUnitOption = TimeUnitName.AUTO,
    max_rejected: MaxRejectedOption = 0.01,
    plot: Annotated[
        Path | None, typer.Option(help="Also draw the similarity of the markets (.svg, .png).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print the statistics, the overlap and the similarity of markets."""
    result = read(path, format_name, columns, min_weight, time_unit, max_rejected)
    description = describe_dataset(result.dataset)
    if plot is not None:
        draw(description, plot)
    if as_json:
        facts = {**description.to_dict(), "accounting": result.report.to_dict()}
        typer.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    typer.echo(str(result.report))
    console = Console()
    for table in tables(description):
        console.print(table)
    if plot is not None:
        typer.echo(f"drawn to {plot}")


@app.command(
    epilog=example(
        "crossmarket data simulate --out markets && "
        "crossmarket data convert markets/interactions.parquet --out copy"
    )
)
def convert(
    path: DataPath,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the store to write.")],
    format_name: FormatOption = None,
    columns: ColumnsOption = None,
    min_weight: MinWeightOption = None,
    time_unit: TimeUnitOption = TimeUnitName.AUTO,
    max_rejected: MaxRejectedOption = 0.01,
) -> None:
    """Read interactions of any known format and write them as a store, with row accounting."""
    result = read(path, format_name, columns, min_weight, time_unit, max_rejected)
    write_store(result, out)
    typer.echo(str(result.report))
    typer.echo(_written(result.dataset.markets, result.dataset.num_interactions, out))


@app.command(epilog=example("crossmarket data simulate --out markets --seed 7"))
def simulate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of the store to write.")],
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of all random numbers; that of the configuration, or 0."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="YAML", help="File with fields of the simulation; the rest default."),
    ] = None,
) -> None:
    """Make markets with known truth and write them as a store with `truth.json`."""
    fields = {} if config is None else _load_yaml(config)
    if seed is not None:
        fields["seed"] = seed
    try:
        chosen = SimulationConfig.model_validate(fields)
    except ValidationError as error:
        raise UsageError(f"wrong simulation: {_first_problem(error)}") from error
    simulation = simulate_markets(chosen)
    truth = {"config": chosen.model_dump(mode="json"), **simulation.truth.to_dict()}
    write_store(simulation.dataset, out, extras={"truth.json": truth})
    dataset = simulation.dataset
    typer.echo(_written(dataset.markets, dataset.num_interactions, out))


def parse_columns(text: str) -> ColumnMap:
    """Read `role=name,role=name` as a column map.

    Raises
    ------
    UsageError
        If the text is not of that form or names an unknown role.
    """
    roles: dict[str, str] = {}
    for entry in text.split(","):
        role, sign, name = entry.partition("=")
        if not sign or role.strip() in roles:
            raise UsageError(f"cannot read columns {text!r}; write them as user=NAME,item=NAME")
        roles[role.strip()] = name.strip()
    try:
        return ColumnMap.model_validate(roles)
    except ValidationError as error:
        known = ", ".join(ColumnMap.model_fields)
        raise UsageError(
            f"wrong columns: {_first_problem(error)}; the roles are: {known}"
        ) from error


def read(
    path: Path,
    format_name: FormatName | None,
    columns: str | None,
    min_weight: float | None,
    time_unit: TimeUnitName,
    max_rejected: float,
) -> ReadResult:
    """Read data with the options of the command line."""
    return read_data(
        path,
        format=None if format_name is None else str(format_name),
        columns=None if columns is None else parse_columns(columns),
        min_weight=min_weight,
        time_unit=time_unit.value,
        max_rejected=max_rejected,
    )


def _load_yaml(path: Path) -> dict[str, object]:
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"cannot read the configuration {path}: {reason}") from error
    if not isinstance(fields, dict):
        raise UsageError(f"{path} holds no fields; write lines such as 'num_items: 500'")
    return fields


def _first_problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    place = ".".join(str(step) for step in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]


def _written(markets: tuple[str, ...], interactions: int, out: Path) -> str:
    return f"wrote {interactions:,} interactions of {len(markets)} markets to {out}"
