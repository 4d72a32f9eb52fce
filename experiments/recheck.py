"""Run a part of every committed published table and analysis again, from nothing, and compare.

    python experiments/recheck.py [NAME ...] [--tolerance 1e-6]

Of a table a cell is run again, drawn by a hash of the record among rows that learn from all
markets; of an analysis one market, drawn by a hash of its rows, with all systems. Unlike `make
test`, which does this for systems that take a moment, it fits whatever the hash names: that takes
minutes. The same machine, libraries and thread count give the same number; other processors may
differ in the last bits of a training, and a long training carries that further. Exits 1 if a
number differs by more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
from polars import selectors

from crossmarket.analysis.registry import find_analysis
from crossmarket.data.readers import ReadResult, read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.published import load_published
from crossmarket.experiments.systems import SystemConfig
from crossmarket.files import read_json

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "results" / "laboratory" / "published"
ANALYSES = HERE / "results" / "laboratory" / "analyses"
DATA = HERE.parents[1] / "shared" / "data"

#: Analyses whose rows depend on all markets: run again whole.
WHOLE = ("market-groups", "distillation-map", "item-map", "attention")
#: Not a property of one market (a correction over all of them), or of the machine's mood.
LEFT_OUT = selectors.by_name(
    "p_holm", "seconds_per_epoch", "seconds", "market_seconds", "peak_gb", require_all=False
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    options = parser.parse_args()
    known = {path.stem: path for one in (RECORDS, ANALYSES) for path in sorted(one.glob("*.json"))}
    unknown = [name for name in options.names if name not in known]
    if unknown:
        parser.error(f"nothing committed is called {unknown[0]!r}; choose from {', '.join(known)}")
    differences = []
    for name in options.names or known:
        again = recheck_table if known[name].parent == RECORDS else recheck_analysis
        differences.append(again(name))
    return int(any(found is not None and found > options.tolerance for found in differences))


def recheck_table(name: str) -> float | None:
    """Difference of one cell of a table; None where no row learns from all markets."""
    record = read_json(RECORDS / f"{name}.json")
    table = load_published(name)
    sources = dict(zip(table.labels, (row.sources for row in table.rows), strict=True))
    cells = [
        (row["row"], cell)
        for row in record["rows"]
        for cell in row["cells"]
        if table.kind in ("comparison", "sources", "unseen-target")
        and cell["measured"] is not None
        and sources[row["row"]] == "all"
    ]
    if not cells:
        return None
    label, cell = drawn(cells, json.dumps(record["rows"], sort_keys=True))
    system, market = table.system_of[label], table.market_of[cell["column"]]
    experiment = Experiment(
        name=name,
        data="given",
        targets=(market,),
        protocol=table.protocol,
        seeds=tuple(record["seeds"]),
        systems=(system,),
        reference=system.title,
        metrics=(cell["metric"],),
        threads=record["threads"],
    )
    with TemporaryDirectory() as folder:
        comparison = Comparison(experiment, Path(folder), data_of(table.data))
        _, per_user = comparison.run()
    means = per_user.group_by("seed").agg(pl.col(cell["metric"]).mean())[cell["metric"]].to_numpy()
    print(
        f"{name}: {label}, {cell['column']}, {cell['metric']}: committed {cell['measured']:.6f}, "
        f"again {np.mean(means):.6f}",
        flush=True,
    )
    return abs(float(np.mean(means)) - cell["measured"])


def recheck_analysis(name: str) -> float:
    """Largest difference in the rows of one market of an analysis."""
    record, analysis = read_json(ANALYSES / f"{name}.json"), find_analysis(name)
    committed = pl.read_csv(ANALYSES / f"{name}.csv", infer_schema_length=None)
    column = "target" if "target" in committed.columns else "market"
    markets = record["markets"]
    if record["systems"] and name not in WHOLE:
        named = set(committed[column])  # costs are those of one market
        markets = [drawn([one for one in markets if one in named], committed.write_csv())]
    known = (data_of(one) for one in ("xmarket", "wsdm"))
    data = next(one for one in known if one.dataset.fingerprint == record["data"])
    with TemporaryDirectory() as folder:
        setting = analysis.setting(
            data,
            Path(folder),
            systems=[SystemConfig(**entry) for entry in record["systems"]] or None,
            markets=tuple(markets),
            seeds=tuple(record["seeds"]),
            protocol=Protocol(name=record["protocol"]),
            threads=record["threads"],
        )
        again = analysis.compute(setting)
    one, other = (
        table.filter(pl.col(column).is_in(markets))
        .select(selectors.numeric() - LEFT_OUT)
        .to_numpy()
        for table in (committed, again)
    )
    if one.shape != other.shape:
        raise SystemExit(f"{name}: committed {one.shape} numbers, again {other.shape}")
    difference = float(np.max(np.abs(np.nan_to_num(one) - np.nan_to_num(other))))
    print(
        f"{name}: {', '.join(markets)}, {one.size} numbers: the largest difference is "
        f"{difference:.1e}",
        flush=True,
    )
    return difference


def drawn(things: Sequence[Any], salt: str) -> Any:
    """One of some things, by a hash of the salt."""
    return things[int(hashlib.sha256(salt.encode()).hexdigest(), 16) % len(things)]


@cache
def data_of(name: str) -> ReadResult:
    return read_data(DATA / name)


if __name__ == "__main__":
    sys.exit(main())
