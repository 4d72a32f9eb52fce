"""500 slow clients beside healthy ones: are all of them cut off, and does anybody wait for them?

    OMP_NUM_THREADS=1 python benchmarks/serving_slow_clients.py [--pairs 3 --seconds 40]

Blocks without and with slow clients take turns, and medians over blocks are compared; healthy
requests come at a fixed rate, times count from when they were due, and every answer is checked. A
third of the slow ones send a head, a third a body, byte by byte; a third ask for much and never
read. Whoever is cut off comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import select
import socket
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from artifact_requests import make
from crossmarket.artifact.artifact import Artifact
from crossmarket.serving.settings import Limits
from measuring import report
from service import Ask, Server, request, serve
from serving_load import load, spread
from serving_markets import Oracle

CONNECTIONS, ASKED, LARGE, PIPELINED, DRIP = 16, 1000, 1000, 16, 1.0
#: Seconds after which each kind must be closed, and what clocks and a busy machine may add.
ALLOWED = {
    "head": Limits.head_seconds,
    "body": Limits.body_seconds,
    "reading": Limits.write_seconds,
}
SLACK = 2.0
#: They do not all send in the same moment; the drips of a second are spread over it.
PHASES = 50
#: Seconds over which they come; what they ask for all at once would be overload, not slowness.
ARRIVAL = 10.0


class Slow(NamedTuple):
    """A slow client: what it is slow at, its socket, when it came."""

    kind: str
    socket: socket.socket
    since: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3, help="blocks of each kind")
    parser.add_argument("--seconds", type=float, default=40, help="of a block")
    parser.add_argument("--slow", type=int, default=500, help="slow clients at any moment")
    parser.add_argument("--rate", type=float, default=200, help="healthy requests a second")
    options = parser.parse_args()
    least = ARRIVAL + Limits.write_seconds + SLACK
    if options.seconds < least:
        parser.error(f"a block must outlast the arrival and the limits: {least} s or more")
    with tempfile.TemporaryDirectory() as place:
        artifact = make(Path(place) / "artifact")
        market = Artifact.from_pretrained(artifact).market("xx")
        with serve(artifact) as server:
            values = asyncio.run(measure(server, Oracle([market]), options))
            assert not server.failures(), server.failures()
    goal = {"p99_ratio": 1.5, "closed_within_seconds": ALLOWED, "closed_late": 0}
    report("serving-slow-clients", {"settings": vars(options), **values, "goal": goal})


async def measure(server: Server, oracle: Oracle, options: argparse.Namespace) -> dict[str, Any]:
    """Blocks without and with slow clients in turn."""
    (market,) = oracle.versions.values()
    asks, chance = [Ask("xx", user) for user in market.users.ids[:ASKED]], random.Random(0)
    times: dict[str, list[list[float]]] = {"without": [], "with": []}
    closed: dict[str, list[float]] = {kind: [] for kind in ALLOWED}
    before, memory = server.descriptors(), server.memory_mb()
    used = dict.fromkeys(times, 0.0)
    with ProcessPoolExecutor(1, get_context("spawn")) as aside:
        for kind in ("without", "with") * options.pairs:
            asking = load(
                server.port, lambda: chance.choice(asks), options.seconds, CONNECTIONS, options.rate
            )
            running, processor = asyncio.create_task(asking), server.cpu_seconds()
            if kind == "with":
                count = (server.port, asks[0], options.slow, options.seconds)
                held = await asyncio.get_running_loop().run_in_executor(aside, hold, *count)
                for name, seconds in held:
                    closed[name].append(seconds)
            replies = await running
            used[kind] += server.cpu_seconds() - processor
            assert {one.status for one in replies} == {200}
            wrong = [oracle.wrong(one.ask, one.body) for one in replies]
            assert not any(wrong), next(filter(None, wrong))
            times[kind].append([one.seconds for one in replies])
    await asyncio.sleep(SLACK)
    blocks = {kind: [spread(seconds) for seconds in each] for kind, each in times.items()}
    p99 = {kind: median(one["p99_ms"] for one in each) for kind, each in blocks.items()}
    late = sum(
        seconds > allowed + SLACK for kind, allowed in ALLOWED.items() for seconds in closed[kind]
    )
    return {
        "healthy": blocks,
        "cores_used": {
            kind: spent / options.pairs / options.seconds for kind, spent in used.items()
        },
        "p99_ms": p99,
        "p99_ratio": p99["with"] / p99["without"],
        "seconds_until_closed": {kind: extremes(closed[kind]) for kind in closed},
        "closed_late": late,
        "descriptors": {"before": before, "after": server.descriptors()},
        "memory_mb": {"before": memory, "after": server.memory_mb()},
        "lists_checked": sum(len(block) for each in times.values() for block in each),
    }


def extremes(seconds: list[float]) -> dict[str, float]:
    """How many, the shortest and the longest."""
    return {"count": len(seconds), "min": min(seconds), "max": max(seconds)}


def hold(port: int, ask: Ask, count: int, seconds: float) -> list[tuple[str, float]]:
    """Let slow clients come one after the other, and back when cut off, for some seconds.

    Returns
    -------
    Kind and age of every one that was cut off, and of those that should have been.
    """
    begin, found = time.monotonic(), []
    due = [(begin + ARRIVAL * n / count, tuple(ALLOWED)[n % len(ALLOWED)]) for n in range(count)]
    clients: dict[int, Slow] = {}
    poll, next_drip, phase = select.epoll(), begin + DRIP, 0
    while (now := time.monotonic()) < begin + seconds:
        while due and due[0][0] <= now:
            new = come(port, due.pop(0)[1], ask)
            clients[new.socket.fileno()] = new
            poll.register(new.socket, select.EPOLLRDHUP)
        gone = {
            place
            for place, _ in poll.poll(
                max(min([next_drip, *(when for when, _ in due[:1])]) - now, 0)
            )
        }
        now = time.monotonic()
        if now >= next_drip:
            next_drip, phase = next_drip + DRIP / PHASES, (phase + 1) % PHASES
            turn = [place for place in clients if place % PHASES == phase]
            gone |= {place for place in turn if not drip(clients[place])}
        for place in gone:
            client = clients.pop(place)
            found.append((client.kind, now - client.since))
            due.insert(0, (now, client.kind))
            poll.unregister(place)
            client.socket.close()
    ages = overdue(clients.values(), time.monotonic())
    for client in clients.values():
        client.socket.close()
    return found + ages


def overdue(clients: Iterable[Slow], now: float) -> list[tuple[str, float]]:
    """Kind and age of those that are still open but should not be."""
    ages = [(client.kind, now - client.since) for client in clients]
    return [(kind, age) for kind, age in ages if age > ALLOWED[kind] + SLACK]


def come(port: int, kind: str, ask: Ask) -> Slow:
    """Connect, and send what comes before one gets slow."""
    own = socket.socket()
    if kind == "reading":
        own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    own.connect(("127.0.0.1", port))
    own.setblocking(False)
    if kind == "head":
        own.send(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    elif kind == "body":
        own.send(request("POST", "/v1/markets/xx/recommendations", b"{" + b" " * 9999)[:-9999])
    else:
        own.send(Ask(ask.market, ask.user, k=LARGE).raw * PIPELINED)
    return Slow(kind, own, time.monotonic())


def drip(client: Slow) -> bool:
    """Send a little more; False when the connection is closed."""
    try:
        client.socket.send({"head": b"X: y\r\n", "body": b" ", "reading": b"\r\n"}[client.kind])
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


if __name__ == "__main__":
    main()
