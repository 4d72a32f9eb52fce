"""Markets change under load: no request fails, no answer mixes versions, no other market notices.

    OMP_NUM_THREADS=1 python benchmarks/serving_swaps.py [--blocks 5 --seconds 20 --changes 200]

Blocks without and with changes take turns. In all of them every market is asked at a fixed rate;
times count from when a request was due. Every answer is compared with a full sort of the version
that it names, and those of three markets that nobody touches with bytes recorded before.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from measuring import report
from service import Ask, Server, serve
from serving_changes import KEPT, Administrator
from serving_load import Reply, each, load, spread
from serving_markets import MARKETS, NEW, Oracle, add_sizes, make_markets

CONNECTIONS, LENGTHS = 32, (10, 20, 5)
UNTOUCHED, TOUCHED = MARKETS[:3], (*MARKETS[3:], NEW)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=5, help="of each kind")
    parser.add_argument("--seconds", type=float, default=20, help="of a block")
    parser.add_argument("--changes", type=int, default=200, help="in all blocks together")
    parser.add_argument("--rate", type=float, default=400, help="requests a second")
    parser.add_argument("--recorded", type=int, default=10_000, help="answers that must stay")
    add_sizes(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        size = (options.users, options.items)
        artifact, depot, oracle = make_markets(Path(place), KEPT + 1, *size)
        with serve(artifact, depot) as server:
            values = asyncio.run(measure(server, oracle, options))
            assert not server.failures(), server.failures()
    report(
        "serving-swaps",
        {
            "settings": vars(options),
            **values,
            "goal": {"failed": 0, "p99_ratio": 1.25, "memory_mb_per_1000_changes": 5},
        },
    )


class Judge:
    """Says what an answer is; everything but `right` and `absent` is a fault."""

    def __init__(self, oracle: Oracle, administrator: Administrator) -> None:
        self._oracle, self._administrator = oracle, administrator
        self.recorded: dict[Ask, bytes] = {}

    def outcome(self, reply: Reply) -> str:
        """One of few words, or a sentence."""
        ask, body = reply.ask, reply.body
        if reply.status == 404 and json.loads(body)["code"] == "unknown_market":
            span = reply.sent, reply.sent + reply.seconds
            return "absent" if self._administrator.may_be_absent(ask.market, *span) else "unknown"
        if reply.status != 200:
            return f"status {reply.status}"
        if self.recorded.get(ask, body) != body:
            return "not the recorded bytes"
        return self._oracle.wrong(ask, body) or "right"


async def measure(server: Server, oracle: Oracle, options: argparse.Namespace) -> dict[str, Any]:
    """Blocks without and with changes in turn."""
    chance, users = random.Random(options.seed), range(options.users)
    still = [
        Ask(market, f"user-{user:06}", k=k)
        for market, user, k in itertools.product(UNTOUCHED, users, LENGTHS)
    ]
    still = chance.sample(still, min(options.recorded, len(still)))
    moving = [Ask(market, f"user-{user:06}") for market in TOUCHED for user in users]
    depot = {market: oracle.of(market) for market in TOUCHED}
    served = server.versions()
    administrator = Administrator(depot, served, options.seed)
    judge = Judge(oracle, administrator)
    recording = await each(server.port, still)
    outcomes = Counter(map(judge.outcome, recording))
    judge.recorded = {reply.ask: reply.body for reply in recording}
    for market, versions in depot.items():
        for version in versions:  # from here on as many are in memory as ever will be
            await asyncio.to_thread(administrator.swap, server, market, version)
    times: dict[str, list[float]] = {"without": [], "with": []}
    memory: list[tuple[int, float]] = []
    number = options.changes // options.blocks
    for kind in ("without", "with") * options.blocks:
        draw = partial(draw_from, chance, (still, moving))
        asking = load(server.port, draw, options.seconds, CONNECTIONS, options.rate)
        running = asyncio.create_task(asking)
        if kind == "with":
            await asyncio.to_thread(change, server, administrator, number, options.seconds)
        replies = await running
        if kind == "with":
            memory.append((number * (len(memory) + 1), server.memory_mb()))
        outcomes.update(map(judge.outcome, replies))
        times[kind] += [one.seconds for one in replies if one.ask.market in UNTOUCHED]
    outcomes.update(map(judge.outcome, await each(server.port, still)))
    assert outcomes.keys() <= {"right", "absent"}, outcomes
    untouched = {market: served[market] for market in UNTOUCHED}
    assert server.versions() == {**untouched, **administrator.current()}
    found = {kind: spread(seconds) for kind, seconds in times.items()}
    changes, grown = np.array(memory).T
    return {
        "answers": dict(outcomes),
        "answers_recorded": len(recording),
        "changes": dict(Counter(f"{what} {status}" for what, _, status in administrator.done)),
        "changes_take": spread(seconds for _, seconds, _ in administrator.done),
        "untouched_markets": found,
        "p99_ratio": found["with"]["p99_ms"] / found["without"]["p99_ms"],
        "memory_mb_after_changes": memory,
        "memory_mb_per_1000_changes": 1000 * np.polyfit(changes, grown, 1)[0]
        if options.blocks > 1
        else None,
    }


def draw_from(chance: random.Random, pools: Sequence[list[Ask]]) -> Ask:
    """A request of any pool, each as often as the others."""
    return chance.choice(chance.choice(pools))


def change(server: Server, administrator: Administrator, number: int, seconds: float) -> None:
    """Changes spread evenly over some seconds."""
    begin = time.monotonic()
    for place in range(number):
        time.sleep(max(begin + place * seconds / number - time.monotonic(), 0))
        administrator.change(server)
    if time.monotonic() > begin + 1.5 * seconds:
        raise SystemExit("changes take longer than their block; ask for fewer or longer blocks")


if __name__ == "__main__":
    main()
