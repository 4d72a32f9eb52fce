"""Whether the published numbers hold: what `reproduce` and `analyse leak` wrote, as a page."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from docs.generators.markdown import table

from crossmarket.experiments.published import load_published, published_tables

Record = Mapping[str, Any]

#: Verdicts on one, and on several.
_WORDS = {
    "holds": "hold",
    "does not hold": "do not hold",
    "undecided": "undecided",
    "cannot be compared": "cannot be compared",
}


def render(folder: Path, link: str) -> str:
    """Render an overview of all tables, then each table's conclusions.

    Parameters
    ----------
    folder : Path
        Where `crossmarket reproduce` wrote its records.
    link : str
        What leads from the page to that folder.
    """
    records = {
        name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for name in published_tables()
        if (folder / f"{name}.json").is_file()
    }
    lines = _overview(records, link)
    for name, record in records.items():
        lines += _section(name, record, link)
    return "\n".join(lines)


def _overview(records: Mapping[str, Record], link: str) -> list[str]:
    rows = []
    for name in published_tables():
        record = records.get(name)
        if record is None:
            rows.append([name, load_published(name).title, "–", "–", "not run yet", ""])
            continue
        seeds = str(len(record["seeds"])) if record["protocol"] else "–"
        rows.append(
            [
                f"[{name}]({link}{name}.md)",
                record["title"],
                f"`{record['protocol']}`" if record["protocol"] else "counts",
                seeds,
                _tally(row["verdict"] for row in record["rows"]),
                _tally(claim["verdict"] for claim in record["claims"]),
            ]
        )
    header = ["table", "what it shows", "measured under", "seeds", "rows", "conclusions"]
    return [*table(header, rows), ""]


def _tally(verdicts: Any) -> str:
    counts = Counter(verdicts)
    said = [
        f"{counts[one]} {one if counts[one] == 1 else several}"
        for one, several in _WORDS.items()
        if counts[one]
    ]
    return ", ".join(said) or "–"


def _section(name: str, record: Record, link: str) -> list[str]:
    number = f", Table {record['table']}" if record["table"] is not None else ""
    lines = [f"### {name}", "", f"{record['paper']}{number}: {record['title']}", ""]
    lines += [f"*As stated:* {record['stated']}", ""]
    if record["comparable"]:
        lines += [f"*No number of it can be compared:* {record['comparable']}", ""]
    else:
        rows = [[_row(row), row["verdict"], row["reason"]] for row in record["rows"]]
        lines += [*table(["row", "verdict", "why"], rows), ""]
    if record["claims"]:
        claims = [[c["text"], c["metric"], c["verdict"], c["reason"]] for c in record["claims"]]
        lines += [*table(["what the paper concludes", "in", "verdict", "why"], claims), ""]
    lines += [f"All cells side by side: [{name}.md]({link}{name}.md).", ""]
    return lines


def _row(row: Record) -> str:
    return str(row["row"])


def render_leak(files: Mapping[str, Path]) -> str:
    """Render the leak experiment: gain over all users of each data set.

    Parameters
    ----------
    files : mapping of str to Path
        A name for the data, and the csv that `crossmarket analyse leak` wrote for them.
    """
    rows = []
    for data, file in files.items():
        if not file.is_file():
            continue
        with file.open(encoding="utf-8", newline="") as handle:
            found = [row for row in csv.DictReader(handle) if row["market"] == "all"]
        rows += [_leak_row(data, row) for row in found]
    header = ["data", "system", "users", "without the leak", "with it", "gain", "95 % interval"]
    return "\n".join(table(header, rows, "llrrrrr"))


def render_companions(whole: Path, dropped: Path) -> str:
    """Render what is left of a quality when training holds no companion of a held-out item.

    Parameters
    ----------
    whole, dropped : Path
        Blocks of the laboratory with companions and without; means are over the users that both
        count, then over markets.
    """
    user, metric, other = ["system", "seed", "market", "user_id"], "ndcg@10", "ndcg@10_right"
    left, right = (
        pl.read_parquet(folder / "per_user.parquet", columns=[*user, metric])
        for folder in (whole, dropped)
    )
    both = left.join(right, on=user)
    markets = both.group_by("system", "market").agg(pl.col(metric, other).mean())
    means = markets.group_by("system").agg(pl.col(metric, other).mean())
    users = both.select(user[1:]).n_unique()
    rows = [
        [system, f"{users:,}", f"{with_them:.4f}", f"{without:.4f}"]
        for system, with_them, without in means.sort(metric, descending=True).iter_rows()
    ]
    return "\n".join(table(["system", "users", "with companions", "without"], rows, "lrrr"))


def _leak_row(data: str, row: Mapping[str, str]) -> Sequence[str]:
    numbers = {name: float(row[name]) for name in ("honest", "leaky", "gain", "low", "high")}
    return [
        data,
        row["system"],
        f"{int(row['users']):,}",
        f"{numbers['honest']:.4f}",
        f"{numbers['leaky']:.4f}",
        f"{numbers['gain']:+.4f}",
        f"{numbers['low']:+.4f} to {numbers['high']:+.4f}",
    ]
