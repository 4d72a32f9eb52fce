"""Every system under every protocol: quality, and what it costs.

    python experiments/laboratory.py --out FOLDER [--blocks time-full,ratio-full] [--seeds 0]
                                     [--systems "EASE^R merged;DCMPT"] [--skip "ACMR*"]
                                     [--tables | --hours]

With a block's first seed each system has a process of its own, whose costs are kept; the other
seeds share one. A system that has its result, with the settings that it has now, is not run again,
so the script can be stopped and started at will; two may run at once in blocks of their own. Each
block has a folder FOLDER/PROTOCOL with results, table.{md,csv,json}, costs.{md,json} and per-user
values; trained stages are shared through it, so what one system has pre-trained, another takes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import polars as pl
import yaml

from crossmarket.data.readers import ReadResult, read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import Experiment
from crossmarket.experiments.provenance import commit
from crossmarket.experiments.systems import SystemConfig, find_system, known_systems
from crossmarket.experiments.tables import build_table, write_table
from crossmarket.files import read_json, write_json, write_text
from crossmarket.models.registry import find_model

PLAN = Path(__file__).with_name("laboratory.yaml")
COSTS = "costs.json"
TRANSFORMERS = ("acmr", "bert4rec", "cat-sr")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--blocks", help="names of blocks' folders, comma-separated")
    parser.add_argument("--seeds", type=int, nargs="+", help="only these of a block's seeds")
    parser.add_argument("--systems", help="titles of the only systems to run, separated by ;")
    parser.add_argument("--skip", help="patterns of titles to leave out, separated by ;")
    parser.add_argument("--tables", action="store_true", help="only write tables of what is there")
    parser.add_argument("--hours", action="store_true", help="only say what all seeds take")
    parser.add_argument("--here", action="store_true", help="in this process, without costs")
    options = parser.parse_args()
    chosen = options.blocks.split(",") if options.blocks else None
    blocks = [one for one in load_blocks() if chosen is None or one.protocol.fit_label in chosen]
    if options.hours:
        print_hours(blocks, options.out)
        return
    if options.here:
        compute(blocks, options)
        return
    if not options.tables:
        measure(blocks, options)
    for block in blocks:
        write_tables(block.experiment, options.out)


@dataclass(frozen=True)
class Block:
    """A protocol's experiment, and how many of its seeds a system has, by patterns of titles."""

    experiment: Experiment
    runs: Mapping[str, int]

    @property
    def protocol(self) -> Protocol:
        return self.experiment.protocol

    def systems(self, seed: int, options: argparse.Namespace) -> list[SystemConfig]:
        """What to run with a seed."""
        if seed not in (options.seeds or [seed]):
            return []
        only = options.systems.split(";") if options.systems else known_systems()
        left_out = options.skip.split(";") if options.skip else []
        return [
            system
            for system in self.experiment.systems
            if seed in self.seeds(system.title)
            and system.title in only
            and not any(fnmatch(system.title, one) for one in left_out)
        ]

    def seeds(self, title: str) -> tuple[int, ...]:
        """The seeds of a system: as many as its first pattern says."""
        number = next(number for one, number in self.runs.items() if fnmatch(title, one))
        return self.experiment.seeds[:number]


def load_blocks() -> list[Block]:
    """The plan's blocks, with the systems that they name, or all of them."""
    plan = yaml.safe_load(PLAN.read_text(encoding="utf-8"))
    common = plan.pop("runs")
    blocks = []
    for block in plan.pop("blocks"):
        changes, own = block.pop("config", {}), block.pop("runs", {})
        titles = block.pop("systems", known_systems())
        protocol = Protocol.model_validate(block["protocol"])
        systems = tuple(changed(find_system(title, protocol), changes) for title in titles)
        experiment = Experiment.model_validate({**plan, **block, "systems": systems})
        # A block's own patterns come first, and their numbers stay.
        blocks.append(Block(experiment, {**own, **common, **own}))
    return blocks


def changed(system: SystemConfig, changes: dict[str, Any]) -> SystemConfig:
    """A system with those of the settings that it has."""
    fields = find_model(system.model).config_class.model_fields
    own = {name: value for name, value in changes.items() if name in fields}
    return system.model_copy(update={"config": {**system.config, **own}})


def measure(blocks: Sequence[Block], options: argparse.Namespace) -> None:
    """Run what is missing, all blocks for the first seed first."""
    for seed in sorted({seed for block in blocks for seed in block.experiment.seeds}):
        for block in blocks:
            systems = block.systems(seed, options)
            if seed == block.experiment.seeds[0]:
                for system in systems:
                    run_alone(block.experiment, system, seed, options.out)
            elif systems:
                run(block.experiment, systems, seed, options.out)


def compute(blocks: Sequence[Block], options: argparse.Namespace) -> None:
    """Run the chosen systems in this process."""
    for block in blocks:
        for seed in block.experiment.seeds:
            if systems := block.systems(seed, options):
                run(block.experiment, systems, seed, options.out)


def folder_of(block: Experiment, out: Path) -> Path:
    return out / block.protocol.fit_label


def comparison(
    block: Experiment, systems: Sequence[SystemConfig], seed: int, out: Path
) -> Comparison:
    chosen = {"systems": tuple(systems), "reference": systems[0].title, "seeds": (seed,)}
    return Comparison(block.model_copy(update=chosen), folder_of(block, out), data_of(block))


@cache
def data_at(path: Path) -> ReadResult:
    return read_data(path)


def data_of(block: Experiment) -> ReadResult:
    return data_at((PLAN.parent / block.data).resolve())


def run(block: Experiment, systems: Sequence[SystemConfig], seed: int, out: Path) -> None:
    """Run systems with a seed, or read the results that are known."""
    label = block.protocol.fit_label
    comparison(block, systems, seed, out).run(
        lambda title, seed, row: print(label, seed, title, json.dumps(row["macro"]), flush=True)
    )


def run_alone(block: Experiment, system: SystemConfig, seed: int, out: Path) -> None:
    """Run one system for one seed in a fresh process and keep what it costs."""
    folder = folder_of(block, out)
    is_counted = str(seed) in known_costs(folder).get(system.title, {})
    if is_counted and comparison(block, [system], seed, out).is_done(system, seed):
        return
    before = set(finished_stages(folder))
    started, load = time.monotonic(), os.getloadavg()[0]
    command = [sys.executable, __file__, "--here", "--out", str(out), "--seeds", str(seed)]
    command += ["--blocks", block.protocol.fit_label, "--systems", system.title]
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        print(f"{system.title} failed with exit code {child.returncode}", flush=True)
        return
    stages = {}
    for place in sorted(set(finished_stages(folder)) - before):
        seconds = read_json(place / "timing.json")["seconds_per_epoch"]
        kind = place.name.rsplit("-", 1)[0]
        stages[kind] = {
            "epochs": read_json(place / "stage.json")["epochs"],
            "best_epoch": read_json(place / "stage.json")["best_epoch"],
            "seconds_per_epoch": float(np.median(seconds)) if seconds else None,
        }
    cost = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": usage.ru_maxrss * 1024 / 1e9,
        "load_at_start": load,
        "stages": stages,
        "commit": commit(),
    }
    costs = known_costs(folder)
    costs.setdefault(system.title, {})[str(seed)] = cost
    write_json(folder / COSTS, costs)


def known_costs(folder: Path) -> dict[str, dict[str, Any]]:
    """Costs by title and seed."""
    return dict(read_json(folder / COSTS)) if (folder / COSTS).is_file() else {}


def finished_stages(folder: Path) -> list[Path]:
    return [place.parent for place in (folder / "stages").glob("*/stage.json")]


def write_tables(block: Experiment, out: Path) -> None:
    """Tables of a block's results and costs, of the systems and seeds that are done."""
    folder = folder_of(block, out)
    costs = known_costs(folder)
    if block.reference not in costs:
        return
    counted = [system for system in block.systems if system.title in costs]
    records: list[dict[str, Any]] = []
    frames: list[pl.DataFrame] = []
    for seed in block.seeds:
        known = comparison(block, counted, seed, out)
        done = [system for system in counted if known.is_done(system, seed)]
        if any(system.title == block.reference for system in done):
            found, per_user = comparison(block, done, seed, out).run()
            records += found
            frames.append(per_user)
    if not records:
        return
    titles = {record["title"] for record in records}
    systems = tuple(system for system in counted if system.title in titles)
    seeds = tuple(sorted({record["seed"] for record in records}))
    shown = block.model_copy(update={"systems": systems, "seeds": seeds})
    per_user = pl.concat(frames)
    write_table(folder, build_table(shown, records, per_user), per_user)
    write_costs(shown, costs, folder)


def write_costs(block: Experiment, costs: dict[str, dict[str, Any]], folder: Path) -> None:
    lines = [
        f"# What the systems cost: {block.name}, {block.protocol.label}",
        "",
        f"{block.threads} thread(s), all markets of one seed, evaluation included; the first seed "
        "that was run. Stages that an earlier row trained are not counted again. An epoch's "
        "seconds include validation.",
        "",
        "| system | wall s | CPU s | peak GB | stages | epochs | s an epoch |",
        "|---|---:|---:|---:|---|---:|---:|",
    ]
    for system in block.systems:
        first = min(costs[system.title], key=int)
        lines += cost_rows(system.title, costs[system.title][first])
    total = sum(seeds[min(seeds, key=int)]["cpu_seconds"] for seeds in costs.values())
    lines += ["", f"Together {total / 3600:.2f} hours of one core a seed."]
    write_text(folder / "costs.md", "\n".join(lines) + "\n")


def print_hours(blocks: Sequence[Block], out: Path) -> None:
    """Hours of one core for all seeds of each block, if each takes what the first one took."""
    print(f"{'block':<32} {'hours':>6} {'without transformers':>21}")
    totals = [0.0, 0.0]
    for block in blocks:
        costs = known_costs(folder_of(block.experiment, out))
        hours = [0.0, 0.0]
        for system in block.experiment.systems:
            if seeds := costs.get(system.title):
                own = seeds[min(seeds, key=int)]["cpu_seconds"] * len(block.seeds(system.title))
                hours[0] += own / 3600
                hours[1] += own / 3600 * (system.model not in TRANSFORMERS)
        totals = [total + own for total, own in zip(totals, hours, strict=True)]
        print(f"{block.protocol.fit_label:<32} {hours[0]:6.1f} {hours[1]:21.1f}")
    print(f"{'together':<32} {totals[0]:6.1f} {totals[1]:21.1f}")


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
