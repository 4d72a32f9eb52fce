"""Validation scores of the settings in `tuning.yaml`; the test part is never looked at.

    python experiments/tune.py [--out runs/tuning]

Resumable; writes `experiments/results/tuning.json`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import yaml

from crossmarket.data.readers import read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.provenance import commit, versions
from crossmarket.files import write_json
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions

HERE = Path(__file__).parent
METRIC = "ndcg@10"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/tuning"))
    arguments = parser.parse_args()
    plan = yaml.safe_load((HERE / "tuning.yaml").read_text())
    data = read_data(HERE / plan["data"])
    split = Protocol(name=plan["protocol"]).split(data, plan["seed"])
    options = RunOptions(
        seed=plan["seed"], threads=plan["threads"], workspace=arguments.out, progress=True
    )
    rows = []
    for trial in plan["trials"]:
        markets, trainable = {}, 0
        for market in data.dataset.markets:
            model = build_model("dcmpt", trial.get("preset"), trial.get("config"), options)
            model.fit(split.train, target=market, valid=split.valid)
            held_out = HeldOut(
                split.valid.matrix(market), split.train.matrix(market), model.catalogue
            )
            values = held_out.evaluate(model.score, [METRIC])[METRIC]
            markets[market] = float(values.mean())
            trainable += model.num_trainable()
        row = {**trial, "macro": float(np.mean(list(markets.values()))), "markets": markets}
        rows.append({**row, "trainable": trainable})
        print(f"{row['macro']:.4f}  {trial['title']}", flush=True)
        record = {"metric": f"validation {METRIC}", "protocol": plan["protocol"], "trials": rows}
        record |= {"seed": plan["seed"], "data": data.dataset.fingerprint}
        record |= {"versions": versions(), "commit": commit()}
        write_json(HERE / "results" / "tuning.json", record)


if __name__ == "__main__":
    main()
