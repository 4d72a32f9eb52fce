"""Run one cell of every committed published table again, from nothing, and compare.

    python experiments/recheck.py [TABLE ...] [--tolerance 1e-6]

The cell is drawn by a hash of the record, among rows that learn from all markets. Unlike
`make test`, which does this for systems that take a moment, it fits whatever the hash names: that
takes minutes. The same machine, libraries and thread count give the same number; other processors
may differ in the last bits of a training, and a long training carries that further. Exits 1 if a
cell differs by more.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from crossmarket.data.readers import read_data
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.published import load_published

HERE = Path(__file__).resolve().parent
RECORDS = HERE / "results" / "laboratory" / "published"
DATA = HERE.parents[1] / "shared" / "data"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--tolerance", type=float, default=1e-6)
    options = parser.parse_args()
    chosen = options.tables or [path.stem for path in sorted(RECORDS.glob("*.json"))]
    differences = [difference for name in chosen if (difference := recheck(name)) is not None]
    return int(any(difference > options.tolerance for difference in differences))


def recheck(name: str) -> float | None:
    """Difference of one cell of a table; None where no row learns from all markets."""
    record = json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))
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
    digest = hashlib.sha256(json.dumps(record["rows"], sort_keys=True).encode()).hexdigest()
    label, cell = cells[int(digest, 16) % len(cells)]
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
        comparison = Comparison(experiment, Path(folder), read_data(DATA / table.data))
        _, per_user = comparison.run()
    means = per_user.group_by("seed").agg(pl.col(cell["metric"]).mean())[cell["metric"]].to_numpy()
    difference = abs(float(np.mean(means)) - cell["measured"])
    print(
        f"{name}: {label}, {cell['column']}, {cell['metric']}: committed {cell['measured']:.6f}, "
        f"again {np.mean(means):.6f}",
        flush=True,
    )
    return difference


if __name__ == "__main__":
    sys.exit(main())
