"""Load on the service, of which every answer can be checked, and of which only times are kept."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from service import Ask

TIMEOUT = 10.0


class Reply(NamedTuple):
    """What came back and when; status 0 stands for an error of the connection or a timeout."""

    ask: Ask
    sent: float
    seconds: float
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time over a connection that stays open."""

    def __init__(self) -> None:
        self._received, self._answer = bytearray(), asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if found and length and len(body) >= int(length[1]) and not self._answer.done():
            self._answer.set_result((int(head[9:12]), bytes(body)))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())
            self._answer.exception()  # nobody may be waiting

    async def ask(self, raw: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        self._received.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(raw)
        async with asyncio.timeout(TIMEOUT):
            return await self._answer


async def load(
    port: int,
    draw: Callable[[], Ask],
    seconds: float,
    connections: int,
    rate: float | None = None,
    ended: Callable[[], bool] = lambda: False,
) -> list[Reply]:
    """Ask at a fixed rate over all connections, or without one as fast as answers come.

    At a fixed rate the time of an answer counts from when its request was due, so that a server
    that stalls is not spared the requests that would have come meanwhile.
    """
    loop, clock, replies, slots = asyncio.get_running_loop(), time.monotonic, [], itertools.count()

    async def connect() -> Connection:
        return (await loop.create_connection(Connection, "127.0.0.1", port))[1]

    async def work(connection: Connection) -> None:
        for slot in slots:
            due = clock() if rate is None else begin + slot / rate
            if due >= begin + seconds or ended():
                return
            ask, wait = draw(), due - clock()
            if wait > 0:
                await asyncio.sleep(wait)
                due = clock()
            try:
                if connection.transport.is_closing():
                    connection = await connect()
                status, body = await connection.ask(ask.raw)
            except (OSError, TimeoutError):
                connection.transport.abort()
                status, body = 0, b""
            replies.append(Reply(ask, due, clock() - due, status, body))

    opened = [await connect() for _ in range(connections)]
    begin = clock()
    await asyncio.gather(*map(work, opened))
    for connection in opened:
        connection.transport.close()
    return replies


async def each(port: int, asks: Iterable[Ask], connections: int = 32) -> list[Reply]:
    """Send every request once, in a closed loop."""
    left = list(asks)[::-1]
    return await load(port, left.pop, math.inf, connections, ended=lambda: not left)


def spread(seconds: Iterable[float]) -> dict[str, float]:
    """Median, 99th percentile and largest, in milliseconds."""
    values = np.fromiter(seconds, float) * 1e3
    p50, p99 = np.quantile(values, [0.5, 0.99]).tolist()
    return {"count": len(values), "p50_ms": p50, "p99_ms": p99, "max_ms": float(values.max())}


_SCRIPT = """
local all = {{}}
for one in io.open("{file}", "rb"):read("*a"):gmatch("[^%z]+") do all[#all + 1] = one end
math.randomseed({seed})
request = function() return all[math.random(#all)] end
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format('{{"requests": %d, "microseconds": %d, "refused": %d, "failed": %d, ' ..
    '"p50": %d, "p99": %d, "max": %d}}', summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def wrk(
    port: int, asks: Iterable[Ask], seconds: int, connections: int, seed: int = 0
) -> dict[str, float]:
    """What `wrk` measures in a closed loop of random ones of some requests."""
    program = shutil.which("wrk")
    if program is None:
        raise SystemExit("this benchmark needs wrk; install it with the system's package manager")
    options = [f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT:.0f}s"]
    with tempfile.TemporaryDirectory() as place:
        file, script = Path(place) / "requests", Path(place) / "script.lua"
        file.write_bytes(b"\0".join(ask.raw for ask in asks))
        script.write_text(_SCRIPT.format(file=file, seed=seed))
        done = subprocess.run(
            [program, "-t1", *options, "-s", script, f"http://127.0.0.1:{port}"],
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout.splitlines()[-1])
    good = found["requests"] - found["refused"]
    return {
        "requests_per_second": good / found["microseconds"] * 1e6,
        **{f"{name}_ms": found[name] / 1000 for name in ("p50", "p99", "max")},
        "refused": found["refused"],
        "failed": found["failed"],
    }
