"""A market from its raw file to served, while the service answers for the others.

    OMP_NUM_THREADS=1 python benchmarks/serving_new_market.py [--rows 50000]

Five simulated markets are fitted and served, and asked at a fixed rate. Then one more arrives as a
CSV file: it is read, prompts are tuned for it over the frozen backbone, its folder is copied into
the depot and served. Every answer of the others is compared with bytes recorded before, and the
newcomer's lists with a full sort. The fit of the five is small unless `--fit-epochs` asks for
more; the tuning, which is measured, has the epochs and patience that the system has by default.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import random
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.artifact.artifact import Artifact
from crossmarket.data.accounting import REJECTED_SCHEMA, ReadReport, ReadResult
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.readers import read_data
from crossmarket.data.simulate import SimulatedMarket, SimulationConfig, simulate
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.packaging.package import save_pretrained
from crossmarket.packaging.tuning import tune_market
from crossmarket.training.options import RunOptions
from measuring import report
from service import Ask, Server, serve
from serving_load import Reply, each, load, spread
from serving_markets import Oracle

NEW, CONNECTIONS, MEAN, SAMPLED = "cl", 16, 14, 200
PROMPTS = "adapter_model.safetensors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="of the new market's file")
    parser.add_argument("--items", type=int, default=5000, help="that markets may sell")
    parser.add_argument("--rate", type=float, default=100, help="requests a second meanwhile")
    parser.add_argument("--fit-epochs", type=int, default=3, help="of the five markets' training")
    parser.add_argument("--tune-epochs", type=int, help="at most, instead of the default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        raw = prepare(place, options)
        depot = place / "depot"
        depot.mkdir()
        with serve(place / "artifact", depot) as server:
            values = asyncio.run(measure(server, place, raw, options))
            assert not server.failures(), server.failures()
    goal = {"seconds": 120, "prompt_bytes": 1_000_000, "failed": 0}
    report("serving-new-market", {"settings": vars(options), **values, "goal": goal})


def prepare(place: Path, options: argparse.Namespace) -> Path:
    """Fit and package five markets; returns the file of a sixth."""
    config = SimulationConfig(num_items=options.items)
    users = -(-options.rows * 11 // 10 // MEAN)
    newcomer = SimulatedMarket(name=NEW, users=users, interactions_per_user=MEAN)
    known = config.markets
    config = config.model_copy(update={"markets": (*known, newcomer)})
    frame = simulate(config).dataset.to_frame()
    raw = place / "raw" / f"{NEW}.csv"
    raw.parent.mkdir()
    rows = frame.filter(market=NEW)
    assert len(rows) >= options.rows, len(rows)
    rows.sample(options.rows, seed=0, shuffle=True).write_csv(raw)
    data = MarketDataset.from_frame(frame.filter(pl.col("market") != NEW))
    read = ReadResult(data, None, ReadReport((), pl.DataFrame(schema=REJECTED_SCHEMA)))
    few = {"epochs": options.fit_epochs}
    changes = {**few, "backbone": few, "teacher": few}
    targets = tuple(market.name for market in known)
    settings = resolve_settings("dcmpt", None, changes, targets=targets, threads=1)
    save_pretrained(Run.create(place / "run", settings, read), place / "artifact")
    return raw


def join(artifact: Path, raw: Path, epochs: int | None) -> dict[str, Any]:
    """Read the file and tune its market over a copy of an artifact; seconds of each."""
    defaults = resolve_settings("dcmpt", None, {}, targets=(NEW,)).config
    config: dict[str, Any] = {"epochs": epochs or defaults["epochs"]}
    config["teacher"] = {"epochs": epochs or defaults["teacher"]["epochs"]}
    start = time.monotonic()
    read = read_data(raw.parent)
    seconds = {"read": time.monotonic() - start}
    tuned = tune_market(artifact, read.dataset, NEW, config=config, options=RunOptions(threads=1))
    seconds["tune"] = time.monotonic() - start - seconds["read"]
    return {
        "rows": read.dataset.num_interactions,
        "users": tuned.users,
        "unknown_items": len(tuned.unknown_items),
        "best_epoch": tuned.best_epoch,
        "version": tuned.version,
        "seconds": seconds,
    }


async def measure(
    server: Server, place: Path, raw: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """The newcomer's way, with load on the others before and meanwhile."""
    own, depot, workshop = place / "artifact", place / "depot", place / "workshop"
    opened, chance = Artifact.from_pretrained(own), random.Random(0)
    oracle, loop = Oracle(opened.markets.values()), asyncio.get_running_loop()
    asks = [Ask(one.name, user) for one in opened.markets.values() for user in one.users.ids]
    recorded = {reply.ask: reply.body for reply in await each(server.port, asks, CONNECTIONS)}
    wrong = [oracle.wrong(*one) for one in recorded.items()]
    assert not any(wrong), next(filter(None, wrong))

    def outcome(reply: Reply) -> str:
        return "same" if recorded[reply.ask] == reply.body else f"changed, {reply.status}"

    calm = await load(server.port, lambda: chance.choice(asks), 5, CONNECTIONS, options.rate)
    with ProcessPoolExecutor(1, get_context("spawn")) as aside:
        arrived, served = time.monotonic(), False
        asking = load(
            server.port,
            lambda: chance.choice(asks),
            float("inf"),
            CONNECTIONS,
            options.rate,
            ended=lambda: served,
        )
        running = asyncio.create_task(asking)
        await asyncio.to_thread(shutil.copytree, own, workshop)
        found = await loop.run_in_executor(aside, join, workshop, raw, options.tune_epochs)
        folder = depot / f"{NEW}-1"
        await asyncio.to_thread(shutil.copytree, workshop / "markets" / NEW, folder)
        body = {"version": found["version"]}
        status, told = await asyncio.to_thread(
            server.call, "PUT", f"/admin/markets/{NEW}", body, admin=True
        )
        seconds, served = time.monotonic() - arrived, True
    assert status == 200, told
    meanwhile = await running
    outcomes = Counter(map(outcome, [*calm, *meanwhile]))
    outcomes.update(map(outcome, await each(server.port, asks, CONNECTIONS)))
    assert outcomes.keys() == {"same"}, outcomes
    assert backbone_hash(own) == backbone_hash(workshop)
    assert oracle.read(folder, NEW, opened.backbone) == server.versions()[NEW] == found["version"]
    users = oracle.versions[found["version"]].users.ids[:SAMPLED]
    lists = await each(server.port, [Ask(NEW, user) for user in users], CONNECTIONS)
    wrong = [oracle.wrong(reply.ask, reply.body) for reply in lists]
    assert not any(wrong), next(filter(None, wrong))
    return {
        **found,
        "seconds": {**found["seconds"], "from_file_to_served": seconds},
        "prompt_bytes": (folder / PROMPTS).stat().st_size,
        "backbone": "unchanged",
        "answers_of_others": dict(outcomes),
        "lists_checked": len(lists) + len(recorded),
        "others_before": spread(reply.seconds for reply in calm),
        "others_meanwhile": spread(reply.seconds for reply in meanwhile),
    }


def backbone_hash(artifact: Path) -> str:
    """SHA-256 of all bytes of the backbone's files."""
    files = sorted((artifact / "backbone").iterdir())
    return hashlib.sha256(
        b"".join(file.name.encode() + file.read_bytes() for file in files)
    ).hexdigest()


if __name__ == "__main__":
    main()
