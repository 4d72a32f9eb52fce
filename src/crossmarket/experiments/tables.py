"""Comparison tables: numbers with spread and tests, as md, csv and json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossmarket.errors import UsageError
from crossmarket.evaluation.significance import Comparison as PairedTest
from crossmarket.evaluation.significance import compare_paired, holm
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import write_atomically, write_json, write_text


def build_table(
    experiment: Experiment, records: Sequence[Mapping[str, Any]], per_user: pl.DataFrame
) -> dict[str, Any]:
    """Join the results of all seeds into one JSON-able table.

    Results of other data, protocols or candidates are refused.

    Each cell is a mean over seeds with the standard deviation between them; a system may have
    fewer seeds than others. Tests are paired over users, each user's mean over the seeds that
    test it and that both systems have, on the first metric; every user weighs alike, and p-values
    are Holm-corrected over the systems compared.
    """
    _require_comparable(records)
    rows = []
    for system in experiment.systems:
        own = [record for record in records if record["title"] == system.title]
        markets = {
            market: _spread([record["markets"][market] for record in own], experiment.metrics)
            for market in own[0]["markets"]
        }
        rows.append(
            {
                "title": system.title,
                "model": system.model,
                "preset": system.preset,
                "config": system.config,
                "seeds": [record["seed"] for record in own],
                "trainable": own[0]["trainable"],
                "macro": _spread([record["macro"] for record in own], experiment.metrics),
                "markets": markets,
            }
        )
    return {
        "name": experiment.name,
        "about": experiment.about,
        "protocol": experiment.protocol.label,
        "seeds": list(experiment.seeds),
        "metrics": list(experiment.metrics),
        "reference": experiment.reference,
        "users": _mean_users(records),
        "candidates": {str(record["seed"]): record["candidates"] for record in records},
        "data": records[0]["key"]["data"],
        "systems": rows,
        "tests": _tests(experiment, per_user),
        "versions": versions(*(system.model for system in experiment.systems)),
        "commit": commit(),
    }


def _require_comparable(records: Sequence[Mapping[str, Any]]) -> None:
    """Refuse results that do not say the same thing: of other data, protocol or candidates."""
    first = records[0]
    candidates: dict[int, str] = {}
    for record in records:
        for fact in ("data", "protocol"):
            if record["key"][fact] != first["key"][fact]:
                raise UsageError(
                    f"{record['title']!r} and {first['title']!r} were measured with another "
                    f"{fact}; results of one table must agree in it"
                )
        if candidates.setdefault(record["seed"], record["candidates"]) != record["candidates"]:
            raise UsageError(
                f"{record['title']!r}, seed {record['seed']}, was ranked among other candidates "
                "than the rest of the table; measure it again"
            )


def _mean_users(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Users counted in each market; a random split counts others for every seed, so their mean."""
    return {
        market: round(np.mean([record["markets"][market]["users"] for record in records]))
        for market in records[0]["markets"]
    }


def _spread(values: Sequence[Mapping[str, float]], metrics: Sequence[str]) -> dict[str, Any]:
    spread = {}
    for metric in metrics:
        numbers = np.array([value[metric] for value in values])
        deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
        spread[metric] = {"mean": float(numbers.mean()), "std": deviation}
    return spread


def _tests(experiment: Experiment, per_user: pl.DataFrame) -> list[dict[str, Any]]:
    """Every system against the reference, those with the same seeds in one go."""
    metric, reference = experiment.metrics[0], experiment.reference
    titles = [system.title for system in experiment.systems if system.title != reference]
    if not titles:
        return []
    rows = ["market", "user_id"]
    wide = per_user.pivot(on="system", index=["seed", *rows], values=metric)
    seeds = dict(per_user.group_by("system").agg(pl.col("seed").unique().sort()).iter_rows())
    tested: dict[str, PairedTest] = {}
    for own in dict.fromkeys(tuple(seeds[title]) for title in titles):
        group = [title for title in titles if tuple(seeds[title]) == own]
        shared = [seed for seed in own if seed in seeds[reference]]
        # A user met under several seeds is still one user: mean first, then test.
        means = wide.filter(pl.col("seed").is_in(shared)).group_by(rows).mean().sort(rows)
        values = {title: means[title].to_numpy() for title in group}
        for found in compare_paired(means[reference].to_numpy(), values):
            tested[found.name] = found
    adjusted = holm([tested[title].p_value for title in titles])
    return [
        _test_row(replace(tested[title], p_holm=float(p_value)))
        for title, p_value in zip(titles, adjusted, strict=True)
    ]


def _test_row(test: PairedTest) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(test).items()
    }


def to_markdown(table: Mapping[str, Any]) -> str:
    """Render the table for people; markets in columns, the best system of a column in bold."""
    lines = [f"# {table['name']}", ""]
    if table["about"]:
        lines += [table["about"].strip(), ""]
    seeds = ", ".join(str(seed) for seed in table["seeds"])
    few = [row for row in table["systems"] if seed_share(row, table)]
    note = f" ({seed_share(few[0], table)}) means that many of the seeds." if few else ""
    lines += [
        f"Protocol `{table['protocol']}`, seeds {seeds}; mean over seeds, ± between seeds.{note}",
        "",
    ]
    for metric in table["metrics"]:
        lines += _metric_block(table, metric)
    if table["tests"]:
        lines += _test_block(table)
    return "\n".join(lines)


def seed_share(row: Mapping[str, Any], table: Mapping[str, Any]) -> str:
    """How many of a table's seeds a row has, such as `1/5`; empty where it has all of them."""
    own, seeds = len(row["seeds"]), len(table["seeds"])
    return f"{own}/{seeds}" if own < seeds else ""


def _metric_block(table: Mapping[str, Any], metric: str) -> list[str]:
    markets = list(table["users"])
    columns = {
        market: [row["markets"][market][metric]["mean"] for row in table["systems"]]
        for market in markets
    }
    macro = [row["macro"][metric]["mean"] for row in table["systems"]]
    lines = [
        f"| {metric} | trainable | macro | " + " | ".join(markets) + " |",
        "|---|---:|---:|" + "---:|" * len(markets),
    ]
    for index, row in enumerate(table["systems"]):
        deviation = row["macro"][metric]["std"]
        cell = _bold(macro, index) + (f" ± {deviation:.4f}" if deviation is not None else "")
        cell += f" ({share})" if (share := seed_share(row, table)) else ""
        total = sum(row["trainable"].values())
        cells = [row["title"], f"{total:,}", cell]
        cells += [_bold(columns[market], index) for market in markets]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _bold(values: Sequence[float], index: int) -> str:
    text = f"{values[index]:.4f}"
    return f"**{text}**" if values[index] == max(values) else text


def _test_block(table: Mapping[str, Any]) -> list[str]:
    metric = table["metrics"][0]
    lines = [
        f"Against {table['reference']} on {metric}, paired over users (mean over seeds); a "
        "positive difference favours the row.",
        "",
        "| system | difference | 95 % interval | p (t, Holm) | p (Wilcoxon) | d_z | win/tie/loss |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for test in table["tests"]:
        low, high = _number(test["low"], "+.4f"), _number(test["high"], "+.4f")
        counts = f"{test['wins']}/{test['ties']}/{test['losses']}"
        cells = [
            test["name"],
            f"{test['mean_difference']:+.4f}",
            f"{low} to {high}",
            _number(test["p_holm"], ".2g"),
            _number(test["p_wilcoxon"], ".2g"),
            _number(test["effect_size"], "+.3f"),
            counts,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def to_frame(table: Mapping[str, Any]) -> pl.DataFrame:
    """Long form: `system, market, metric, mean, std, seeds, users, trainable`; `macro` too.

    `seeds` is how many a system was measured with.
    """
    rows = []
    for row in table["systems"]:
        for market, values in [("macro", row["macro"]), *row["markets"].items()]:
            for metric, cell in values.items():
                trainable = sum(row["trainable"].values())
                if market != "macro":
                    trainable = row["trainable"][market]
                users = table["users"].get(market, sum(table["users"].values()))
                numbers = (cell["mean"], cell["std"], len(row["seeds"]), users, trainable)
                rows.append((row["title"], market, metric, *numbers))
    names = ["system", "market", "metric", "mean", "std", "seeds", "users", "trainable"]
    return pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)


def write_table(folder: Path, table: Mapping[str, Any], per_user: pl.DataFrame) -> list[Path]:
    """Write `table.{md,csv,json}` and `per_user.parquet`; returns their paths."""
    paths = [folder / name for name in ("table.md", "table.csv", "table.json", "per_user.parquet")]
    write_text(paths[0], to_markdown(table))
    write_text(paths[1], to_frame(table).write_csv())
    write_json(paths[2], table)
    ordered = per_user.sort("system", "seed", "market", "user_id")
    # The same users again and again: in one row group they are a third smaller.
    write_atomically(
        paths[3], lambda path: ordered.write_parquet(path, row_group_size=max(ordered.height, 1))
    )
    return paths
