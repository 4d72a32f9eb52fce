"""What the benchmarks share: the data, the machine, where results go."""

from __future__ import annotations

import json
import os
import platform
import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from crossmarket.data.readers import read_data
from crossmarket.data.splits import Split, ratio_split
from crossmarket.experiments.provenance import commit, versions

HERE = Path(__file__).parent
XMARKET = HERE.parents[1] / "shared" / "data" / "xmarket"


def xmarket_split() -> Split:
    """The seven XMarket markets, 80/10/10, seed 0."""
    return ratio_split(read_data(XMARKET).dataset, seed=0)


def summary(seconds: list[float]) -> dict[str, float]:
    """Median and least of repeated timings."""
    return {"median": float(np.median(seconds)), "min": float(np.min(seconds))}


def peak_memory_gb() -> float:
    """Largest resident set of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def report(name: str, values: dict[str, Any]) -> None:
    """Print a result and keep it in `benchmarks/results`."""
    record = {
        **values,
        "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
        "load": os.getloadavg()[0],
        "date": datetime.now(UTC).date().isoformat(),
        "versions": versions(),
        "commit": commit(),
    }
    text = json.dumps(record, indent=2)
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.json").write_text(text + "\n")
    print(text)
