"""An epoch of NMF at FOREC's settings, beside what its public code took on such a machine.

    python benchmarks/nmf_epoch.py

Market de with uk, temporal leave-one-out, steps of 1024 rows, 4 negatives a positive drawn anew,
width 8, one thread, no pre-training. The public code took 2.07 s an epoch there (one thread; the
median of five, negatives drawn once). It cannot be installed beside ours, so the ratio is against
that figure and not side by side; the seconds of each part of ours are.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np

from crossmarket.data.readers import read_data
from crossmarket.evaluation.protocols import Protocol
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.nmf import NMF
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler
from measuring import XMARKET, report, summary

PUBLIC_SECONDS = 2.07
EPOCHS = 10


def main() -> None:
    split = Protocol(name="forec").split(read_data(XMARKET), 0)
    markets = ["de", "uk"]
    train, valid = split.train.select_markets(markets), split.valid.select_markets(markets)
    config = {"gmf": None, "mlp": None, "epochs": EPOCHS}
    model = NMF.from_config(config, options=RunOptions(threads=1)).fit(train, target="de")
    epochs = summary(model._stages.nmf.trained.seconds)
    sampler = ExampleSampler(PositiveSampler(train, map_nodes(train, markets)), 4)
    sampling = []
    for seed in range(5):
        start = time.perf_counter()
        steps = sum(1 for _ in sampler.batches(1024, np.random.default_rng(seed)))
        sampling.append(time.perf_counter() - start)
    report(
        "nmf-epoch",
        {
            "settings": "de with uk, forec split, 1024 rows a step, 4 negatives, width 8, 1 thread",
            "positives": train.num_interactions,
            "held_out": valid.num_interactions,
            "steps": steps,
            "seconds_per_epoch": epochs,
            "seconds_of_sampling": summary(sampling),
            "public_seconds": PUBLIC_SECONDS,
            "times_faster": PUBLIC_SECONDS / epochs["median"],
        },
    )


if __name__ == "__main__":
    main()
