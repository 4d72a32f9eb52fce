"""Ten times more connections than the service can use: what is still answered, and how fast?

    OMP_NUM_THREADS=1 python benchmarks/serving_overload.py [--seconds 60]

The peak is the most that `wrk` gets in closed loops of growing size, before the flood and after it:
machines do not run equally fast all the time. The flood is a closed loop of ten times as many
connections, at least 1,000; whoever is refused asks again at once. Beside it a probe asks at a
fixed rate and has its answers checked; it goes on after the flood. At last loop and flood take
short turns, without the probe. All share the machine; the record says who used how much of it.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from artifact_requests import make
from crossmarket.artifact.artifact import Artifact
from measuring import report
from service import Ask, Server, serve
from serving_load import Reply, load, spread, wrk
from serving_markets import Oracle

SIZES, LEAST, PROBES, WINDOW, ASKED = (8, 32, 128), 1000, 200, 0.5, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of the flood")
    parser.add_argument("--peak-seconds", type=int, default=15, help="of each smaller loop")
    parser.add_argument("--calm-seconds", type=int, default=10, help="before and after")
    parser.add_argument("--rate", type=float, default=100, help="of the probe, requests a second")
    parser.add_argument("--turns", type=int, default=5, help="of a loop and a flood")
    parser.add_argument("--turn-seconds", type=int, default=8, help="of each")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        artifact = make(Path(place) / "artifact")
        market = Artifact.from_pretrained(artifact).market("xx")
        asks = [Ask("xx", user) for user in market.users.ids[:ASKED]]
        with serve(artifact) as server:
            before = loops(server, asks, options.peak_seconds)
            size = max(SIZES, key=lambda size: before[size]["requests_per_second"])
            crowd = max(10 * size, LEAST)
            flood = asyncio.run(overload(server, Oracle([market]), asks, crowd, options))
            after = loops(server, asks, options.peak_seconds)
            rounds = turns(server, asks, (size, crowd), options)
            assert not server.failures(), server.failures()
    answered = flood["flood"]["requests_per_second"] + flood["probe_answered_per_second"]
    peak = max(
        (before[size]["requests_per_second"] + after[size]["requests_per_second"]) / 2
        for size in SIZES
    )
    report(
        "serving-overload",
        {
            "settings": vars(options),
            "loops_before": before,
            "loops_after": after,
            "peak_requests_per_second": peak,
            **flood,
            "goodput_of_peak": answered / peak,
            "goodput_of_peak_in_turns": sorted(flood / calm for calm, flood in rounds),
            "turns_requests_per_second": rounds,
            "goal": {
                "failed": 0,
                "goodput_of_peak": 0.8,
                "refused_p99_ms": 20,
                "seconds_to_recover": 2,
            },
        },
    )


def loops(server: Server, asks: list[Ask], seconds: int) -> dict[int, dict[str, Any]]:
    """What closed loops of each size get; all of their requests are answered."""
    found = {size: wrk(server.port, asks, seconds, size) for size in SIZES}
    assert not any(one["failed"] + one["refused"] for one in found.values()), found
    return found


def turns(
    server: Server, asks: list[Ask], sizes: tuple[int, int], options: argparse.Namespace
) -> list[tuple[float, float]]:
    """Requests a second of the best loop and of the flood in turn, nobody else beside them."""
    found = []
    for _ in range(options.turns):
        calm, flood = (wrk(server.port, asks, options.turn_seconds, size) for size in sizes)
        found.append((calm["requests_per_second"], flood["requests_per_second"]))
        time.sleep(2)  # until who was refused is heard again
    return found


async def overload(
    server: Server,
    oracle: Oracle,
    asks: list[Ask],
    connections: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The flood, with the probe before, beside and after it."""
    chance, calm, clock = random.Random(0), options.calm_seconds, time.monotonic
    whole = 3 * calm + 2 * options.seconds  # cut short when the time after the flood is over
    end = float("inf")
    asking = load(
        server.port,
        lambda: chance.choice(asks),
        whole,
        PROBES,
        options.rate,
        ended=lambda: clock() > end + calm,
    )
    probe = asyncio.create_task(asking)
    await asyncio.sleep(calm)
    ready: list[tuple[int, float]] = []
    watch = asyncio.create_task(readiness(server, ready))
    begin, used = clock(), processor_seconds(server)
    flood = await asyncio.to_thread(wrk, server.port, asks, options.seconds, connections)
    end = clock()
    shares = {
        name: (seconds - used[name]) / (end - begin)
        for name, seconds in processor_seconds(server).items()
    }
    watch.cancel()
    replies = await probe
    wrong = [oracle.wrong(one.ask, one.body) for one in replies if one.status == 200]
    assert not any(wrong), next(filter(None, wrong))
    # In its first second the probe still connects.
    before = [one for one in replies if begin - calm + 1 < one.sent < begin]
    during = [one for one in replies if begin <= one.sent < end]
    after = [one for one in replies if one.sent >= end]
    assert {one.status for one in before} == {200}, Counter(one.status for one in before)
    # The machine may be slower by then: what is normal is known when all has been quiet for long.
    settled = spread(one.seconds for one in after if one.sent > end + calm / 2)
    normal = spread(one.seconds for one in before)
    refused = [one.seconds for one in during if one.status == 503]
    return {
        "connections": connections,
        "flood": flood,
        "offered_per_second": flood["requests_per_second"] + flood["refused"] / options.seconds,
        "probe_statuses": dict(Counter(one.status for one in during)),
        "probe_answered_per_second": sum(one.status == 200 for one in during) / (end - begin),
        "probe_before": normal,
        "probe_answered": spread(one.seconds for one in during if one.status == 200),
        "refused": spread(refused) if refused else None,
        "probe_settled": settled,
        "seconds_to_recover": recovery(after, end, max(normal["p99_ms"], settled["p99_ms"]) / 1000),
        "readiness": dict(Counter(status for status, _ in ready)),
        "readiness_takes": spread(seconds for _, seconds in ready),
        "lists_checked": len(wrong),
        "cores_used": shares,
    }


async def readiness(server: Server, found: list[tuple[int, float]]) -> None:
    """Ask once a second whether the service is ready; status and seconds are added to a list."""
    while True:
        start = time.monotonic()
        status, _ = await asyncio.to_thread(server.call, "GET", "/readyz")
        found.append((status, time.monotonic() - start))
        await asyncio.sleep(1)


def recovery(replies: list[Reply], end: float, normal: float) -> float | None:
    """Seconds until no half second has a request refused, or a median above the normal p99."""
    windows: dict[int, list[Reply]] = {}
    for one in replies:
        windows.setdefault(int((one.sent - end) / WINDOW), []).append(one)
    bad = [
        place
        for place, window in windows.items()
        if any(one.status != 200 for one in window)
        or np.median([one.seconds for one in window]) > normal
    ]
    if not windows or max(bad, default=-1) == max(windows):
        return None  # not while it was watched
    return (max(bad, default=-1) + 1) * WINDOW


def processor_seconds(server: Server) -> dict[str, float]:
    """Processor time of everybody so far; the generator's is known when it has ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "server": server.cpu_seconds(),
        "flood": children.ru_utime + children.ru_stime,
        "probe": time.process_time(),
    }


if __name__ == "__main__":
    main()
