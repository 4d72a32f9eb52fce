"""Requests that nobody should send: no answer from within, nothing hangs, memory stays.

    OMP_NUM_THREADS=1 python benchmarks/serving_fuzz.py [--count 20000 --described 2000 --seed 0]

Most are bytes on a socket (`serving_cases.py`), the rest are drawn by Schemathesis from the
description and checked against it. A request that its own parser takes for whole must be answered,
or its connection closed, within a second; of an unfinished one the client closes its half, and the
service must close the other. In between the answers of a known user are compared with a full sort.
"""

from __future__ import annotations

import argparse
import re
import socket
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httptools
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from artifact_requests import make
from crossmarket.artifact.artifact import Artifact
from measuring import report
from service import Ask, Server, serve
from serving_cases import Cases
from serving_markets import Oracle

PATIENCE, ALLOWED_MB, BETWEEN = 1.0, 20, 250
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000, help="requests in all")
    parser.add_argument("--described", type=int, default=2_000, help="of them from the description")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        artifact = make(Path(place) / "artifact")
        oracle = Oracle([Artifact.from_pretrained(artifact).market("xx")])
        with serve(artifact) as server:
            described(server, 50, options.seed)  # from here on memory should stay as it is
            bytes_on_sockets(server, oracle, options.count // 20, options.seed + 1)
            memory = [server.memory_mb()]
            values = bytes_on_sockets(
                server, oracle, options.count - options.described, options.seed
            )
            memory.append(server.memory_mb())
            values["described"] = described(server, options.described, options.seed)
            memory.append(server.memory_mb())
            descriptors, failures = server.descriptors(), server.failures()
    report(
        "serving-fuzz",
        {
            "settings": vars(options),
            **values,
            "memory_mb": memory,
            "descriptors": descriptors,
            "errors_logged": failures,
            "goal": {"faults": [], "errors_logged": [], "memory_grows_mb": ALLOWED_MB},
        },
    )
    if values["faults"] or failures:
        raise SystemExit("there are faults")


def described(server: Server, count: int, number: int) -> int:
    """Requests drawn from the description; every check of Schemathesis must pass."""
    url = f"http://127.0.0.1:{server.port}"
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    operations, sent = [found.ok() for found in schema.get_all_operations()], 0

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data: st.DataObject) -> None:
        nonlocal sent
        case = data.draw(data.draw(st.sampled_from(operations)).as_strategy())
        case.call_and_validate(base_url=url, timeout=10)
        sent += 1

    ask()
    return sent


def bytes_on_sockets(server: Server, oracle: Oracle, count: int, number: int) -> dict[str, Any]:
    """Requests of all kinds in turn; every fault is kept with its bytes."""
    cases, faults = Cases("xx", number), []
    statuses: Counter[str] = Counter()
    slowest = dict.fromkeys(cases.kinds, 0.0)
    for place in range(count):
        kind = list(cases.kinds)[place % len(cases.kinds)]
        sent = cases.kinds[kind]()
        start = time.monotonic()
        received, ended = exchange(server.port, sent)
        slowest[kind] = max(slowest[kind], time.monotonic() - start)
        found = [int(one) for one in STATUS.findall(received)]
        statuses.update(f"{kind} {status}" for status in found or ["closed"])
        fault = judge(kind, received, found, ended=ended)
        if fault:
            faults.append(
                {"kind": kind, "number": place, "fault": fault, "sent": repr(sent[:2000])}
            )
        if place % BETWEEN == 0:
            user = f"user-{place % 5000:06}"
            path = f"/v1/markets/xx/users/{user}/recommendations?k=10"
            status, body = server.call_bytes("GET", path)
            assert status == 200, (kind, place)
            assert oracle.wrong(Ask("xx", user), body) is None, (kind, place)
    return {
        "sent": count,
        "statuses": dict(sorted(statuses.items())),
        "slowest_ms": {kind: 1000 * seconds for kind, seconds in slowest.items()},
        "faults": faults[:50],
    }


def judge(kind: str, received: bytes, found: list[int], *, ended: bool) -> str | None:
    """What is wrong with how a request was met."""
    good = [status for status in found if status < 400]
    faults = {
        "hangs": not ended,
        "an error inside": any(status >= 500 and status != 503 for status in found),
        "503 without Retry-After": 503 in found and b"retry-after" not in received.lower(),
        "a market of this name was found": kind == "names" and good,
        "two answers to one request": kind == "smuggled" and len(found) > 1,
        "length and chunks were both believed": kind == "smuggled" and good,
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def is_whole(sent: bytes) -> bool:
    """Whether a parser waits for nothing more, be it satisfied or disgusted."""

    class Seen:
        def __init__(self) -> None:
            self.begun = self.complete = 0

        def on_message_begin(self) -> None:
            self.begun += 1

        def on_message_complete(self) -> None:
            self.complete += 1

    seen = Seen()
    try:
        httptools.HttpRequestParser(seen).feed_data(sent)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return True
    return seen.begun == seen.complete > 0


def exchange(port: int, sent: bytes) -> tuple[bytes, bool]:
    """What comes back, and whether the other side answered or closed in time."""
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        try:
            connection.sendall(sent)
            if not is_whole(sent):
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                received += piece
                if STATUS.search(
                    received
                ):  # more of it comes at once, or a next request is awaited
                    connection.settimeout(0.05)
        except TimeoutError:
            return received, bool(received)
        except ConnectionError:
            pass
    return received, True


if __name__ == "__main__":
    main()
