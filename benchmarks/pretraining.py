"""One pre-training epoch of the seven markets: where its time goes, its floor, its peers.

    python benchmarks/pretraining.py [--threads 2] [--recbole PATH_TO_PYTHON]

Everything runs side by side in one call, in alternation, because absolute times drift.
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

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch

from crossmarket.data.splits import Split
from crossmarket.graph.bipartite import BipartiteGraph, map_nodes
from crossmarket.graph.propagation import layer_mean, neighbour_sum
from crossmarket.models.presets import SOFTMAX_TABLES
from crossmarket.models.tables import TableConfig, fit_tables
from crossmarket.training.options import RunOptions
from measuring import HERE, report, summary, xmarket_split

WIDTH, LAYERS, BATCH = 64, 3, 4096


def time_of(work, repeats: int = 30) -> dict[str, float]:
    work()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return summary(seconds)


def kernels(graph: BipartiteGraph) -> dict[str, dict[str, float]]:
    """One product Ahat X by the kernels at hand, and the whole propagation."""
    table = torch.randn(graph.num_nodes, WIDTH)
    out = torch.empty_like(table)
    shape = (graph.num_nodes, graph.num_nodes)
    csr = torch.sparse_csr_tensor(graph.offsets, graph.neighbours, graph.values, size=shape)
    coo = csr.to_sparse_coo()
    return {
        "product, embedding_bag (ours)": time_of(lambda: neighbour_sum(graph, table)),
        "product, CSR into a kept buffer": time_of(
            lambda: torch.addmm(out, csr, table, beta=0, out=out)
        ),
        "product, COO": time_of(lambda: torch.sparse.mm(coo, table)),
        "propagation, 3 products and mean": time_of(lambda: layer_mean(graph, table, LAYERS)),
    }


def copy_bandwidth() -> float:
    """Bytes read and written per second by `a + b -> c` on arrays of the table's size."""
    a, b = torch.randn(22_617, WIDTH), torch.randn(22_617, WIDTH)
    c = torch.empty_like(a)
    return 3 * a.numel() * 4 / time_of(lambda: torch.add(a, b, out=c), 200)["min"]


def floor_seconds(graph: BipartiteGraph, steps: int, bandwidth: float) -> dict[str, float]:
    """Bytes that an epoch cannot avoid moving, at the measured bandwidth.

    A product reads the adjacency (8 bytes an entry) and the table, and writes the table. A step
    takes three products forward and three back, and Adam reads parameter, gradient and two
    moments and writes parameter and moments (7 passes).
    """
    table = graph.num_nodes * WIDTH * 4
    product = len(graph.neighbours) * 8 + 2 * table
    step = 2 * LAYERS * product + 7 * table
    flops = 2 * LAYERS * 2 * len(graph.neighbours) * WIDTH
    return {
        "bytes_per_step": step,
        "flop_per_step": flops,
        "seconds_per_epoch": steps * step / bandwidth,
    }


def epoch_seconds(split: Split, config: TableConfig, threads: int, epochs: int) -> list[float]:
    """Seconds of training epochs without validation, the first left out."""
    options = RunOptions(threads=threads)
    with options.applied():
        tables = fit_tables(
            split.train,
            None,
            split.train.markets,
            config.model_copy(update={"epochs": epochs + 1, "evaluate_every": epochs + 1}),
            options,
            kind="benchmark",
        )
    return tables.trained.seconds[1:]


def recbole_seconds(python: str, split: Split, threads: int, epochs: int) -> dict[str, object]:
    nodes = map_nodes(split.train, split.train.markets)
    users, items = nodes.edges_of(split.train, nodes.markets)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "pairs.npz"
        np.savez(source, users=users, items=items)
        command = [python, str(HERE / "recbole_epoch.py"), str(source), str(threads), str(epochs)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    found = json.loads(done.stdout.splitlines()[-1])
    return {"wall": summary(found["wall"]), "cpu": summary(found["cpu"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--recbole", help="python of an environment that has RecBole")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    split = xmarket_split()
    nodes = map_nodes(split.train, split.train.markets)
    graph = nodes.graph_of(split.train)
    edges = split.train.num_interactions
    steps = -(-edges // BATCH)
    bandwidth = copy_bandwidth()
    bpr = TableConfig(learning_rate=1e-2, batch_size=BATCH)
    softmax = TableConfig(**SOFTMAX_TABLES)
    values = {
        "what": f"{edges} training edges, {graph.num_nodes} nodes, d={WIDTH}, L={LAYERS}, "
        f"batch {BATCH}, {arguments.threads} threads; seconds",
        "kernels": kernels(graph),
        "bandwidth_bytes_per_second": bandwidth,
        "floor": floor_seconds(graph, steps, bandwidth),
        "epoch, BPR": summary(epoch_seconds(split, bpr, arguments.threads, arguments.epochs)),
        "epoch, sampled softmax": summary(
            epoch_seconds(split, softmax, arguments.threads, arguments.epochs)
        ),
        "epoch, sampled softmax, d=256": summary(
            epoch_seconds(
                split,
                softmax.model_copy(update={"embedding_size": 256}),
                arguments.threads,
                max(2, arguments.epochs // 3),
            )
        ),
    }
    values["ratio to floor, BPR"] = (
        values["epoch, BPR"]["median"] / values["floor"]["seconds_per_epoch"]
    )
    if arguments.recbole:
        peer = recbole_seconds(arguments.recbole, split, arguments.threads, 4)
        values["epoch, RecBole LightGCN, BPR"] = peer
        values["RecBole / ours, wall"] = peer["wall"]["median"] / values["epoch, BPR"]["median"]
    report(f"pretraining-{arguments.threads}-threads", values)


if __name__ == "__main__":
    sys.exit(main())
