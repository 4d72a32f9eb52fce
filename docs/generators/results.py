"""Results for the README and the docs, from the tables that `crossmarket compare` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docs.generators.markdown import table

from crossmarket.experiments.tables import seed_share

Table = Mapping[str, Any]

_NOTHING = "No comparison is part of this tree; `make run` makes one on simulated markets."
_SIGNIFICANT = 0.01


class MissingTableError(Exception):
    """A result that the README should show is not there."""


def render(paths: Sequence[Path], root: Path, link: str = "", *, by_market: bool = True) -> str:
    """Render the tables side by side, then market by market.

    Parameters
    ----------
    paths : sequence of Path
        Files `table.json`, one a protocol.
    root : Path
        Folder that paths are named from.
    link : str
        What leads from the page to that folder, e.g. `../`.
    by_market : bool
        Whether the tables of markets follow.

    Raises
    ------
    MissingTableError
        If a file does not exist.
    """
    if not paths:
        return _NOTHING
    tables = [load_table(path, root) for path in paths]
    lines = []
    for found, path in zip(tables, paths, strict=True):
        lines += [_setting(found, path.parent.relative_to(root), link), ""]
    lines += [_legend(tables), "", *_overview(tables), ""]
    lines += [f"- {_reading(found)}" for found in tables]
    for found in tables if by_market else []:
        lines += ["", f"{_metric(found)} market by market, `{found['protocol']}`:", ""]
        lines += _by_market(found)
    return "\n".join(lines)


def load_table(path: Path, root: Path) -> Table:
    """Read a file `table.json`.

    Raises
    ------
    MissingTableError
        If there is none; its name is told from the root.
    """
    if not path.is_file():
        name = path.relative_to(root)
        raise MissingTableError(
            f"{name} is not there; make it with `crossmarket compare EXPERIMENT.yaml "
            f"--out {name.parent}`, or take it out of TABLES in docs/build.py"
        )
    found: Table = json.loads(path.read_text(encoding="utf-8"))
    return found


def _setting(found: Table, folder: Path, link: str) -> str:
    users = sum(found["users"].values())
    seeds = ", ".join(str(seed) for seed in found["seeds"])
    plural = "seeds" if len(found["seeds"]) > 1 else "seed"
    return (
        f"`{found['protocol']}`: {found['name']}, {len(found['users'])} markets, {plural} {seeds}, "
        f"{users:,} test users a seed; all of it in "
        f"[`{folder}`]({link}{folder}/table.md)."
    )


def _legend(tables: Sequence[Table]) -> str:
    found = tables[0]
    shares = (seed_share(row, one) for one in tables for row in one["systems"])
    share = next(filter(None, shares), "")
    note = f"({share}) means that many of the seeds. " if share else ""
    return (
        f"Means over the markets (macro), ± between seeds; in bold the best of a column. {note}"
        f"*against* is the mean difference to {found['reference']} over users in "
        f"{_metric(found)}, in italics where p ≥ {_SIGNIFICANT:g} (paired t-test, Holm)."
    )


def _overview(tables: Sequence[Table]) -> list[str]:
    titles = list(dict.fromkeys(row["title"] for found in tables for row in found["systems"]))
    header, columns = ["system", "trainable"], [_trainable(tables, titles)]
    for found in tables:
        rows = {row["title"]: row for row in found["systems"]}
        for metric in found["metrics"]:
            header.append(f"{found['protocol']}<br>{metric}")
            values = [rows[title]["macro"][metric] if title in rows else None for title in titles]
            shares = [seed_share(rows[title], found) if title in rows else "" for title in titles]
            cells = zip(_cells(values), shares, strict=True)
            columns.append([f"{cell} ({share})" if share else cell for cell, share in cells])
        header.append(f"{found['protocol']}<br>against")
        tests = {test["name"]: test for test in found["tests"]}
        columns.append([_test(tests.get(title)) for title in titles])
    rows = [
        [title, *cells] for title, cells in zip(titles, zip(*columns, strict=True), strict=True)
    ]
    return table(header, rows, "l" + "r" * (len(header) - 1))


def _trainable(tables: Sequence[Table], titles: Sequence[str]) -> list[str]:
    totals = {
        row["title"]: sum(row["trainable"].values()) for found in tables for row in found["systems"]
    }
    return [f"{totals[title]:,}" for title in titles]


def _cells(values: Sequence[Mapping[str, Any] | None]) -> list[str]:
    best = max(value["mean"] for value in values if value is not None)
    cells = []
    for value in values:
        if value is None:
            cells.append("–")
            continue
        text = f"{value['mean']:.4f}"
        spread = f" ± {value['std']:.4f}" if value.get("std") else ""
        cells.append((f"**{text}**" if value["mean"] == best else text) + spread)
    return cells


def _test(test: Mapping[str, Any] | None) -> str:
    if test is None:
        return "–"
    text = f"{test['mean_difference']:+.4f}"
    return text if test["p_holm"] < _SIGNIFICANT else f"*{text}*"


def _reading(found: Table) -> str:
    metric, reference = found["metrics"][0], found["reference"]
    values = {row["title"]: row["macro"][metric]["mean"] for row in found["systems"]}
    ranked = sorted(values, key=lambda title: -values[title])
    start = f"Under `{found['protocol']}` {ranked[0]} leads with {values[ranked[0]]:.4f}"
    if ranked[0] == reference:
        following = f", before {ranked[1]} with {values[ranked[1]]:.4f}" if ranked[1:] else ""
        return f"{start}{following} ({_metric(found)}, macro)."
    place = ranked.index(reference) + 1
    return (
        f"{start}; {reference} is at {values[reference]:.4f}, place {place} of {len(ranked)} "
        f"({_metric(found)}, macro)."
    )


def _by_market(found: Table) -> list[str]:
    metric, markets = found["metrics"][0], list(found["users"])
    columns = [
        _cells([_mean(row, market, metric) for row in found["systems"]]) for market in markets
    ]
    rows = [
        [row["title"], *cells]
        for row, cells in zip(found["systems"], zip(*columns, strict=True), strict=True)
    ]
    users = ["*test users*", *(f"*{found['users'][market]:,}*" for market in markets)]
    return table(["system", *markets], [*rows, users], "l" + "r" * len(markets))


def _mean(row: Mapping[str, Any], market: str, metric: str) -> dict[str, float]:
    return {"mean": row["markets"][market][metric]["mean"]}


def _metric(found: Table) -> str:
    kind, _, k = found["metrics"][0].partition("@")
    return f"{'NDCG' if kind == 'ndcg' else kind}@{k}"
