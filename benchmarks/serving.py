"""Speed, start and memory of the service: lists of known users and of bare histories.

    OMP_NUM_THREADS=1 python benchmarks/serving.py [--seconds 60] [--runs 3]
    OMP_NUM_THREADS=1 python benchmarks/serving.py --artifact FOLDER

Server and generator (`wrk`, 32 connections in a closed loop) share the machine. Before and after
each run, lists are compared with a full sort of their scores. Start and memory are measured with
seven markets of 12,000 items, or with an artifact that somebody packaged: every user of every
market is asked for once, and every list is checked.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from artifact_requests import ITEMS, USERS, make
from crossmarket.artifact.artifact import Artifact
from measuring import report
from service import Ask, Server, serve
from serving_load import Reply, each, spread, wrk
from serving_markets import Oracle, make_markets

CONNECTIONS, CHECKED, LENGTH, HISTORIES, HISTORY, STARTS = 32, 50, 10, 500, 50, 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--users", type=int, default=USERS, help="of each of the seven markets")
    parser.add_argument("--artifact", type=Path, help="measure start and memory of this one only")
    options = parser.parse_args()
    if options.artifact is not None:
        found = footprint(options.artifact)
        report("serving-artifact", {**found, "goal": {"seconds_to_ready": 3, "memory_mb": 300}})
        return
    with tempfile.TemporaryDirectory() as place:
        artifact, *_ = make_markets(Path(place) / "seven", 1, options.users, ITEMS)
        seven = footprint(artifact)
        values = speed(make(Path(place) / "artifact"), options.seconds, options.runs)
    report(
        "serving",
        {
            "settings": f"{ITEMS} items, {USERS} users, vectors of 64, top {LENGTH}, "
            f"{CONNECTIONS} connections in a closed loop, {options.seconds} s, {options.runs} runs",
            **values,
            "seven_markets": seven,
            "goal": {
                "known_user": {"requests_per_second": 2000, "p99_ms": 25},
                f"history_of_{HISTORY}": {"p99_ms": 30},
                "seconds_to_ready": 3,
            },
        },
    )


def speed(artifact: Path, seconds: int, runs: int) -> dict[str, Any]:
    """Requests a second and their times, of both kinds of requests."""
    market = Artifact.from_pretrained(artifact).market("xx")
    oracle, draw = Oracle([market]), np.random.default_rng(0)
    histories = [draw.choice(market.item_ids, HISTORY, replace=False) for _ in range(HISTORIES)]
    kinds = {
        "known_user": [Ask("xx", user) for user in market.users.ids],
        f"history_of_{HISTORY}": [Ask("xx", history=tuple(one.tolist())) for one in histories],
    }
    values = {}
    with serve(artifact) as server:
        for name, asks in kinds.items():
            some = draw.choice(len(asks), CHECKED, replace=False).tolist()
            checked, found = ask_each(server, [asks[place] for place in some], oracle), []
            for seed in range(runs):
                found.append(wrk(server.port, asks, seconds, CONNECTIONS, seed))
                assert not found[-1]["failed"] + found[-1]["refused"], found[-1]
                checked += ask_each(server, [asks[place] for place in some], oracle)
            median = sorted(found, key=lambda run: run["requests_per_second"])[runs // 2]
            values[name] = {"median": median, "runs": found, "lists_checked": len(checked)}
        values["peak_memory_mb"] = server.memory_mb("VmHWM")
        assert not server.failures(), server.failures()
    return values


def footprint(artifact: Path) -> dict[str, Any]:
    """Seconds from the start of the process until it is ready, and memory before and after load."""
    opened = Artifact.open(artifact)
    markets, oracle = opened.markets.values(), Oracle(opened.markets.values())
    asks = [Ask(one.name, user) for one in markets for user in one.users.ids]
    starts = []
    for _ in range(STARTS):
        with serve(artifact) as server:
            starts.append(server.seconds)
            memory = server.memory_mb()
            if len(starts) == STARTS:
                replies = ask_each(server, asks, oracle)
                peak = server.memory_mb("VmHWM")
    return {
        "markets": {one.name: [len(one.users), len(one.item_ids)] for one in markets},
        "unavailable": sorted(opened.unavailable),
        "seconds_to_ready": starts,
        "memory_mb_after_start": memory,
        "memory_mb_peak_after_load": peak,
        "lists_checked": len(replies),
        "closed_loop": spread(reply.seconds for reply in replies),
    }


def ask_each(server: Server, asks: list[Ask], oracle: Oracle) -> list[Reply]:
    """Send every request once and check every answer."""
    replies = asyncio.run(each(server.port, asks, CONNECTIONS))
    assert {reply.status for reply in replies} == {200}
    wrong = [oracle.wrong(reply.ask, reply.body) for reply in replies]
    assert not any(wrong), next(filter(None, wrong))
    return replies


if __name__ == "__main__":
    main()
