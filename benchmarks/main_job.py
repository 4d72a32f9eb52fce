"""The main job on XMarket: `fit --targets all`, `evaluate`, `recommend` as a user runs them.

    python benchmarks/main_job.py [--threads 2] [--seed 0] [--out FOLDER]

Each command is a process of its own, timed from start to exit with its peak memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crossmarket.data.readers import read_data
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.experiments.run import Run
from measuring import XMARKET, report


def timed(arguments: list[str]) -> tuple[dict[str, float], str]:
    command = [sys.executable, "-m", "crossmarket", *arguments]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "peak_memory_gb": usage.ru_maxrss * 1024 / 1e9}, output


def evaluation_seconds(run: Path) -> float:
    """Seconds to rank and score all test users of all markets, models already loaded."""
    opened = Run.open(run)
    protocol = opened.settings.protocol
    models = opened.fit(protocol)
    split = opened.split(protocol)
    start = time.perf_counter()
    for market, model in models.items():
        evaluate_market(model, protocol, split, market)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--out", help="keep the run in this folder, which must not exist yet")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(arguments.out or f"{folder}/run")
        fit = ["fit", "--data", str(XMARKET), "--targets", "all", "--seed", arguments.seed]
        fit += ["--out", str(run)]
        values = {"threads": int(arguments.threads), "seed": int(arguments.seed)}
        values |= {"data": read_data(XMARKET).dataset.fingerprint}
        values["fit --targets all"], _ = timed([*fit, "--threads", arguments.threads])
        values["evaluate, process"], output = timed(["evaluate", str(run), "--json"])
        values["macro"] = json.loads(output)["macro"]
        values["evaluate, all test users in process, seconds"] = evaluation_seconds(run)
        values["recommend, process"], _ = timed(
            ["recommend", str(run), "--market", "uk", "--all-users", "--out", f"{folder}/uk.csv"]
        )
        values["run folder, MB"] = (
            sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 1e6
        )
    report("main-job", values)


if __name__ == "__main__":
    main()
