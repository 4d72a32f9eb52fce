"""Every system of an experiment, each in a process of its own: quality, and what it costs.

    python experiments/every_system.py --protocol time-full --out FOLDER

A system that has its result and its costs is not run again, so the script can be stopped and
started at will. Trained stages are shared through FOLDER/stages: what one system has pre-trained,
another takes. Writes table.{md,csv,json}, costs.{md,json} and per-user values.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from crossmarket.data.readers import read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import Experiment, load_experiment
from crossmarket.experiments.provenance import commit
from crossmarket.experiments.systems import SystemConfig
from crossmarket.experiments.tables import build_table, write_table
from crossmarket.files import read_json, write_json, write_text

PLAN = Path(__file__).with_name("every-system.yaml")
COSTS = "costs.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", help="instead of the experiment's own")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", help="title of the one system to run, in this process")
    parser.add_argument("--table", action="store_true", help="only write tables of what is there")
    options = parser.parse_args()
    experiment = load_experiment(PLAN)
    if options.protocol:
        protocol = Protocol(name=options.protocol).require_known()
        experiment = experiment.model_copy(update={"protocol": protocol})
    if options.only is not None:
        (system,) = [entry for entry in experiment.systems if entry.title == options.only]
        compute(experiment, (system,), options.out)
        return
    for system in experiment.systems:
        costs = known_costs(options.out)
        if system.title in costs or options.table:
            continue
        found = run_alone(experiment, system, options.out)
        if found is not None:
            write_json(options.out / COSTS, {**costs, system.title: found})
            print(system.title, json.dumps(found), flush=True)
    write_tables(experiment, options.out)


def known_costs(folder: Path) -> dict[str, Any]:
    return dict(read_json(folder / COSTS)) if (folder / COSTS).is_file() else {}


def compute(experiment: Experiment, systems: tuple[SystemConfig, ...], folder: Path) -> None:
    """Run some systems of the experiment, or read their results where they are known."""
    chosen = experiment.model_copy(update={"systems": systems, "reference": systems[0].title})
    data = read_data((PLAN.parent / experiment.data).resolve())
    records, per_user = Comparison(chosen, folder, data).run()
    for record in records:
        print(record["title"], json.dumps(record["macro"]), flush=True)
    if len(systems) > 1:
        chosen = chosen.model_copy(update={"reference": experiment.reference})
        write_table(folder, build_table(chosen, records, per_user), per_user)


def run_alone(experiment: Experiment, system: SystemConfig, folder: Path) -> dict[str, Any] | None:
    """Run one system in a fresh process; its costs, or None if it failed."""
    before = set(finished_stages(folder))
    started, load = time.monotonic(), os.getloadavg()[0]
    protocol = experiment.protocol.name
    arguments = ["--protocol", protocol, "--out", str(folder), "--only", system.title]
    child = subprocess.Popen([sys.executable, __file__, *arguments])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        print(f"{system.title} failed with exit code {child.returncode}", flush=True)
        return None
    stages = {}
    for place in sorted(set(finished_stages(folder)) - before):
        seconds = read_json(place / "timing.json")["seconds_per_epoch"]
        kind = place.name.rsplit("-", 1)[0]
        stages[kind] = {
            "epochs": read_json(place / "stage.json")["epochs"],
            "best_epoch": read_json(place / "stage.json")["best_epoch"],
            "seconds_per_epoch": float(np.median(seconds)) if seconds else None,
        }
    return {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": usage.ru_maxrss * 1024 / 1e9,
        "load_at_start": load,
        "stages": stages,
        "commit": commit(),
    }


def finished_stages(folder: Path) -> list[Path]:
    return [place.parent for place in (folder / "stages").glob("*/stage.json")]


def write_tables(experiment: Experiment, folder: Path) -> None:
    costs = known_costs(folder)
    done = tuple(system for system in experiment.systems if system.title in costs)
    if len(done) > 1 and experiment.reference in costs:
        compute(experiment, done, folder)
    lines = [
        f"# What the systems cost: {experiment.name}, {experiment.protocol.label}",
        "",
        f"{experiment.threads} thread(s), all markets of one seed, evaluation included; stages "
        "that an earlier row trained are not counted again. An epoch's seconds include validation.",
        "",
        "| system | wall s | CPU s | peak GB | stages | epochs | s an epoch |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for system in done:
        lines += cost_rows(system.title, costs[system.title])
    total = sum(cost["seconds"] for cost in costs.values())
    lines += ["", f"Together {total / 3600:.2f} hours."]
    write_text(folder / "costs.md", "\n".join(lines) + "\n")


def cost_rows(title: str, cost: dict[str, Any]) -> list[str]:
    """One row for stages that differ in their target only."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for kind, stage in cost["stages"].items():
        grouped.setdefault(kind.split("-", 1)[-1] if "-" in kind else kind, []).append(stage)
    rows = []
    head = [title, f"{cost['seconds']:.0f}", f"{cost['cpu_seconds']:.0f}", f"{cost['peak_gb']:.2f}"]
    for kind, stages in grouped.items() or [("-", [])]:
        seconds = [s["seconds_per_epoch"] for s in stages if s["seconds_per_epoch"] is not None]
        cells = [
            f"{kind} x {len(stages)}" if len(stages) > 1 else kind,
            f"{sum(s['epochs'] for s in stages)}" if stages else "-",
            f"{np.mean(seconds):.2f}" if seconds else "-",
        ]
        rows.append("| " + " | ".join([*head, *cells]) + " |")
        head = ["", "", "", ""]
    return rows


if __name__ == "__main__":
    main()
