"""FOREC's systems on its own protocol: all markets together, and with the best single source.

    python experiments/forec_levels.py [--seeds 0 1 2] [--out runs/forec-levels]

Temporal leave-one-out, 99 in-market negatives, nDCG@10. `all` learns from all seven markets; `best`
learns from the target and one source, the one with the best validation NDCG@10, as FOREC's
Best-Src. Resumable; writes `experiments/results/forec-levels.{json,md}`.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import yaml

from crossmarket.data.readers import read_data
from crossmarket.data.splits import Split
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import read_json, write_json, write_text
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions

HERE = Path(__file__).parent
RESULT = HERE / "results" / "forec-levels.json"
METRIC = "ndcg@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/forec-levels"))
    arguments = parser.parse_args()
    plan = yaml.safe_load((HERE / "forec-levels.yaml").read_text())
    data = read_data(HERE / plan["data"])
    protocol = Protocol(name="forec")
    rows: dict[str, Any] = dict(read_json(RESULT)["rows"]) if RESULT.is_file() else {}
    for seed in arguments.seeds:
        split = protocol.split(data, seed)
        for target in plan["targets"]:
            markets = [name for name in data.dataset.markets if name != target]
            settings = [tuple(data.dataset.markets), *[(target, name) for name in markets]]
            for system in plan["systems"]:
                for chosen in settings if system.get("sources", True) else settings[:1]:
                    options = RunOptions(seed=seed, threads=1, workspace=arguments.out)
                    place = "all" if len(chosen) > 2 else chosen[1]
                    key = f"{system['title']}|{target}|{place}|{seed}"
                    if key not in rows:
                        rows[key] = run(system, split, protocol, target, chosen, options)
                        print(key, rows[key], flush=True)
                        write(plan, rows)
    write(plan, rows)


def run(
    system: dict[str, Any],
    split: Split,
    protocol: Protocol,
    target: str,
    markets: tuple[str, ...],
    options: RunOptions,
) -> dict[str, float]:
    """Test and validation figure of a system that learns from some markets."""
    train, valid = (part.select_markets(markets) for part in (split.train, split.valid))
    model = build_model(system["model"], system.get("preset"), system.get("config"), options)
    model.fit(train, target=target, valid=valid)
    held_out = HeldOut(valid.matrix(target), train.matrix(target), model.catalogue)
    validated = held_out.evaluate(model.score, [METRIC])[METRIC]
    tested = evaluate_market(model, protocol, split, target).per_user
    return {
        "valid": float(validated.mean()),
        "ndcg@10": float(tested[METRIC].mean()),
        "hit@10": float(tested["hit@10"].mean()),
        "error": float(tested[METRIC].std() / len(tested) ** 0.5),
    }


def write(plan: dict[str, Any], rows: dict[str, Any]) -> None:
    """Keep the rows, and the table of all markets against the best source."""
    record = {"plan": plan, "rows": rows, "versions": versions(), "commit": commit()}
    write_json(RESULT, record)
    cells: dict[tuple[str, str, str], list[dict[str, float]]] = defaultdict(list)
    by_seed: dict[tuple[str, str, str], dict[str, dict[str, float]]] = defaultdict(dict)
    for key, row in rows.items():
        title, target, place, seed = key.split("|")
        if place == "all":
            cells[title, "all", target].append(row)
        else:
            by_seed[title, target, seed][place] = row
    for (title, target, _), sources in by_seed.items():
        best = max(sources.values(), key=lambda row: row["valid"])
        cells[title, "best", target].append(best)
    lines = [
        "# FOREC's protocol: nDCG@10, 99 in-market negatives",
        "",
        "Mean over seeds, ± standard error over users; the re-run's best source in the last rows.",
        "",
        "| system | sources | seeds | " + " | ".join(plan["targets"]) + " |",
        "|---|---|---:|" + "---:|" * len(plan["targets"]),
    ]
    named = [(system["title"], place) for system in plan["systems"] for place in ("all", "best")]
    found_rows = {(title, place) for title, place, _ in cells}
    for title, place in [row for row in named if row in found_rows]:
        found = [cells.get((title, place, target), []) for target in plan["targets"]]
        values = [
            f"{np.mean([row['ndcg@10'] for row in rows]):.4f} ± {rows[0]['error']:.3f}"
            if rows
            else "-"
            for rows in found
        ]
        lines.append(f"| {title} | {place} | {len(found[0])} | " + " | ".join(values) + " |")
    for title, published in plan["published"].items():
        values = [f"{published[target]:.4f}" for target in plan["targets"]]
        lines.append(f"| *{title}, published re-run* | | | " + " | ".join(values) + " |")
    write_text(RESULT.with_suffix(".md"), "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
