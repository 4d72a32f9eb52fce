"""`crossmarket fit`, `evaluate`, `recommend` and `check`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from crossmarket.cli.artifact import answers, as_table, explained
from crossmarket.cli.commands import (
    Command,
    DropCompanionsOption,
    JsonOption,
    ProtocolOption,
    RunPath,
    SeedOption,
    ThreadsOption,
    example,
    parse_names,
    parse_settings,
    plain_table,
    split_names,
)
from crossmarket.cli.data import (
    ColumnsOption,
    FormatOption,
    MaxRejectedOption,
    MinWeightOption,
    TimeUnitName,
    TimeUnitOption,
    read,
)
from crossmarket.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from crossmarket.data.readers import ReadResult
    from crossmarket.models.base import Recommender


def fit(
    data: Annotated[Path, typer.Option(metavar="PATH", help="Interactions of the markets.")],
    out: Annotated[Path, typer.Option(metavar="RUN", help="Folder of the run; made or resumed.")],
    targets: Annotated[str, typer.Option(help="Markets to adapt to: all, or uk,de.")] = "all",
    markets: Annotated[
        str, typer.Option(help="Markets to learn from besides the targets: all, or uk,de.")
    ] = "all",
    model: Annotated[
        str, typer.Option(help="System to fit; `crossmarket models` lists them.")
    ] = "dcmpt",
    preset: Annotated[
        str | None, typer.Option(help="Settings to start from; `default` where there is one.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=VALUE", help="Change one setting; may be repeated."),
    ] = None,
    protocol: ProtocolOption = "ratio-full",
    refit: Annotated[
        bool, typer.Option(help="Learn once more from training + validation at the end.")
    ] = False,
    drop_companions: DropCompanionsOption = False,
    source_split: Annotated[
        str, typer.Option(help="Interactions of source markets learned from: train or all.")
    ] = "train",
    seed: SeedOption = 0,
    threads: ThreadsOption = 2,
    device: Annotated[str, typer.Option(help="Where tensors live: cpu, cuda.")] = "cpu",
    format_name: FormatOption = None,
    columns: ColumnsOption = None,
    min_weight: MinWeightOption = None,
    time_unit: TimeUnitOption = TimeUnitName.AUTO,
    max_rejected: MaxRejectedOption = 0.01,
) -> None:
    """Learn from all markets and adapt to each target; the same command resumes a killed run."""
    from crossmarket.evaluation.protocols import Protocol
    from crossmarket.experiments.run import Run, resolve_settings, restrict

    result = read(data, format_name, columns, min_weight, time_unit, max_rejected)
    chosen = _choose_targets(result, targets)
    if markets != "all":
        result = restrict(result, {*parse_names("--markets", markets), *chosen})
    if source_split not in ("train", "all"):
        raise UsageError(f"unknown source split {source_split!r}; choose train or all")
    settings = resolve_settings(
        model,
        preset,
        parse_settings(set_ or []),
        targets=chosen,
        protocol=Protocol(
            name=protocol, refit=refit, companions="drop" if drop_companions else "keep"
        ),
        seed=seed,
        threads=threads,
        device=device,
        source_split=source_split,
    )
    typer.echo(str(result.report))
    run = Run.create(out, settings, result)
    started = time.perf_counter()

    def show(market: str, fitted: Recommender) -> None:
        typer.echo(
            f"{market}: {fitted.num_trainable():,} trainable scalars, "
            f"{time.perf_counter() - started:.1f} s so far"
        )

    run.fit(settings.protocol, progress=True, report=show)
    typer.echo(f"fitted {len(chosen)} markets into {out}; next: crossmarket evaluate {out}")


def evaluate(
    run: RunPath,
    protocol: Annotated[
        str | None,
        typer.Option(help="Protocol; the run's own by default. Another one is fitted first."),
    ] = None,
    history: Annotated[
        str | None, typer.Option(help="Interactions scored from: train or train+valid.")
    ] = None,
    refit: Annotated[
        bool | None, typer.Option(help="Evaluate the model refitted on training + validation.")
    ] = None,
    alone: Annotated[
        bool,
        typer.Option(
            "--alone", help="Also learn each target from itself alone: the gain from the others."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Rank the held-out interactions of every target and print the metrics."""
    from crossmarket.experiments.run import Run

    opened = Run.open(run)
    options = {"history": history, "refit": refit}
    chosen = opened.protocol(
        protocol, **{name: value for name, value in options.items() if value is not None}
    )
    result = opened.evaluate(chosen, alone=alone, progress=True)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
        return
    typer.echo(f"{result['model']}, {result['protocol']}, seed {result['seed']}")
    Console().print(_metric_table(result))
    if "alone" in result:
        Console().print(_gain_table(result))


def recommend(
    path: Annotated[
        Path, typer.Argument(metavar="RUN", help="Folder that `fit` or `package` made.")
    ],
    market: Annotated[str, typer.Option(help="Market to recommend in.")],
    user: Annotated[list[str] | None, typer.Option(help="User id; may be repeated.")] = None,
    history: Annotated[
        str | None, typer.Option(metavar="ITEM,...", help="Item ids of a user not in the data.")
    ] = None,
    all_users: Annotated[bool, typer.Option(help="A list for every user of the market.")] = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Length of a list.")] = 10,
    exclude: Annotated[str, typer.Option(metavar="ITEM,...", help="Items to leave out.")] = "",
    include_seen: Annotated[bool, typer.Option(help="Keep items the user has taken.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say why; from an artifact only.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write to .csv or .parquet instead.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print top-k lists for users of a market, or for a bare history, from a run or an artifact."""
    from crossmarket.artifact.artifact import is_artifact

    if (bool(user) + (history is not None) + all_users) != 1:
        raise UsageError("say for whom: --user ID, --history ITEM,ITEM or --all-users")
    if out is not None and out.suffix not in (".csv", ".parquet"):
        raise UsageError(f"cannot write {out}; give a name that ends in .csv or .parquet")
    histories = None if history is None else [split_names(history)]
    request = {"k": k, "exclude_seen": not include_seen, "exclude": split_names(exclude)}
    if is_artifact(path):
        users = None if all_users else user or []
        rows = answers(path, market, users, histories or (), explain=explain, **request)
        table = as_table(rows)
    elif explain:
        raise UsageError(
            f"--explain needs an artifact; make one: crossmarket package {path} --out ARTIFACT"
        )
    else:
        table = _run_lists(path, market, None if all_users else user, histories, request)
        rows = table.to_dicts()
    if out is not None:
        from crossmarket.files import write_atomically

        writer = table.write_csv if out.suffix == ".csv" else table.write_parquet
        write_atomically(out, writer)
        typer.echo(f"wrote {table.height:,} rows to {out}")
    elif as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif explain:
        typer.echo("\n".join(explained(rows)))
    else:
        shown = Table(*table.columns, title=f"top {k} in {market}", title_justify="left")
        for row in table.iter_rows():
            shown.add_row(*map(_cell, row))
        Console().print(shown)


def _run_lists(
    path: Path,
    market: str,
    users: list[str] | None,
    histories: list[tuple[str, ...]] | None,
    request: dict[str, Any],
) -> pl.DataFrame:
    """Lists from a run, for users (None: all of them) or for bare histories."""
    from crossmarket.experiments.run import Run

    model = Run.open(path).recommender(market)
    if histories is not None:
        return model.recommend(histories=histories, **request)
    return model.recommend(model.users.ids.to_list() if users is None else users, **request)


def check(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A run, an artifact, or data with parts of a split."),
    ],
    leaky: Annotated[
        list[str] | None,
        typer.Option(metavar="PROTOCOL", help="A protocol that leaks on purpose: dcmpt-leaky."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for held-out interactions in training, and for changed files; exit 1 if any."""
    from crossmarket.experiments.checking import check_path

    report = check_path(path, leaky=leaky or ())
    if as_json:
        typer.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        typer.echo(str(report))
    if not report.passed:
        raise typer.Exit(1)


COMMANDS = (
    Command(
        fit,
        example(
            "crossmarket data simulate --out markets && "
            "crossmarket fit --data markets --targets mx --out run --set backbone.epochs=5"
        ),
    ),
    Command(evaluate, example("crossmarket evaluate run --protocol ratio-full --json")),
    Command(
        recommend,
        example("crossmarket recommend run --market mx --history item-012,item-018 -k 5"),
    ),
    Command(check, example("crossmarket check run")),
)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _choose_targets(data: ReadResult, text: str) -> tuple[str, ...]:
    if text == "all":
        return data.dataset.markets
    return tuple(data.dataset.require_market(name) for name in parse_names("--targets", text))


def _metric_table(result: dict[str, Any]) -> Table:
    metrics = ("ndcg@10", "recall@10", "hit@10", "mrr@10", "coverage@10")
    table = plain_table("market", "users", *metrics, "trainable")
    for market, row in result["markets"].items():
        cells = [f"{row[name]:.4f}" for name in metrics]
        table.add_row(market, f"{row['users']:,}", *cells, f"{result['trainable'][market]:,}")
    table.add_section()
    cells = [f"{result['macro'][name]:.4f}" for name in metrics]
    total = sum(result["trainable"].values())
    table.add_row("macro", f"{result['users']:,}", *cells, f"{total:,}")
    return table


def _gain_table(result: dict[str, Any], metric: str = "ndcg@10") -> Table:
    """What the other markets add to a metric of each target."""
    table = plain_table("market", metric, "alone", "gain from the others")
    alone = result["alone"]
    for market, row in (*result["markets"].items(), ("macro", result["macro"])):
        if market == "macro":
            table.add_section()
        own, other = row[metric], {**alone["markets"], **alone}[market][metric]
        table.add_row(market, f"{own:.4f}", f"{other:.4f}", f"{own - other:+.4f}")
    return table
