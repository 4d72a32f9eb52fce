"""Microseconds of a request to an artifact in one process: 12,000 items, vectors of 64.

OMP_NUM_THREADS=1 python benchmarks/artifact_requests.py
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.forms import VectorForm
from crossmarket.artifact.manifest import ArtifactManifest
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.packaging.placing import write_artifact
from crossmarket.packaging.writing import (
    MarketSource,
    make_backbone,
    make_market,
    records,
    sorted_pairs,
)
from measuring import report

USERS, ITEMS, WIDTH, TAKEN, REPEATS = 5_000, 12_000, 64, 20, 2_000


def make(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    items = Vocabulary([f"item-{number:06}" for number in range(ITEMS)])
    users = Vocabulary([f"user-{number:06}" for number in range(USERS)])
    rows = np.arange(ITEMS, dtype=np.int32)
    taken = np.concatenate(
        [np.sort(generator.choice(ITEMS, TAKEN, replace=False)) for _ in range(USERS)]
    )

    def draw(count: int) -> np.ndarray:
        return generator.normal(size=(count, WIDTH)).astype(np.float32)

    form = VectorForm(draw(USERS), draw(ITEMS), rows, draw(ITEMS))
    files, backbone = make_backbone("made-up", {}, items, {"xx": form})
    pairs = sorted_pairs(np.repeat(np.arange(USERS), TAKEN), taken)
    source = MarketSource("xx", users, rows, pairs, np.ones(len(pairs), dtype=bool), form, {})
    manifest = ArtifactManifest(
        run="0" * 64,
        system="made-up",
        settings={},
        learned_from=["xx"],
        retrain_due=0,
        data="",
        versions={},
        commit=None,
        backbone=records(files),
        markets={},
    )
    write_artifact(folder, manifest, files, {"xx": make_market(source, backbone)})
    return folder


def microseconds(ask: Callable[[int], object], repeats: int = REPEATS) -> dict[str, float]:
    times = []
    for number in range(repeats):
        start = time.perf_counter()
        ask(number)
        times.append((time.perf_counter() - start) * 1e6)
    return {"median": float(np.median(times)), "p99": float(np.quantile(times, 0.99))}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder) / "artifact")
        start = time.perf_counter()
        market = Artifact.from_pretrained(path).market("xx")
        loading = time.perf_counter() - start
    users, items = market.users.ids.to_list(), market.item_ids
    histories = [[items[(7 * n + 131 * j) % ITEMS] for j in range(50)] for n in range(100)]
    market.similar(items[0])
    report(
        "artifact-requests",
        {
            "users, items, width": [USERS, ITEMS, WIDTH],
            "seconds to load and verify": loading,
            "microseconds, top 10": {
                "known user": microseconds(lambda n: market.recommend(users[n % USERS])),
                "history of 50": microseconds(
                    lambda n: market.recommend(history=histories[n % 100])
                ),
                "popular": microseconds(lambda n: market.recommend()),
                "similar items": microseconds(lambda n: market.similar(items[n % ITEMS])),
                "known user, explained": microseconds(
                    lambda n: market.recommend(users[n % USERS], explain=True), 200
                ),
            },
        },
    )


if __name__ == "__main__":
    main()
