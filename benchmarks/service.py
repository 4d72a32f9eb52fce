"""What the benchmarks of the service share: the service as a process, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

ADMIN_KEY = "a-key-for-benchmarks-only"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Server:
    """A running service; `seconds` passed from its start until it was ready."""

    process: subprocess.Popen[str]
    port: int
    admin_port: int | None
    log: Path
    seconds: float = 0.0

    def call(self, method: str, path: str, body: Any = None, *, admin: bool = False) -> Any:
        """One request; returns status and parsed body."""
        status, content = self.call_bytes(method, path, body, admin=admin)
        return status, json.loads(content)

    def call_bytes(
        self, method: str, path: str, body: Any = None, *, admin: bool = False
    ) -> tuple[int, bytes]:
        """One request; returns status and body as it came."""
        port = self.admin_port if admin else self.port
        assert port is not None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {"Authorization": f"Bearer {ADMIN_KEY}"} if admin else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def versions(self) -> dict[str, str]:
        """What it serves."""
        return {
            one["market"]: one["version"] for one in self.call("GET", "/v1/markets")[1]["markets"]
        }

    def memory_mb(self, field: str = "VmRSS") -> float:
        """Resident set now, or its peak (`VmHWM`), in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.findall(rf"{field}:\s+(\d+) kB", status)[0]) * 1024 / 1e6

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def descriptors(self) -> int:
        """Open files and connections."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def failures(self) -> list[str]:
        """Lines of its log that tell of an error inside."""
        lines = self.log.read_text().splitlines()
        return [line for line in lines if not line.startswith("{") or '"level":"error"' in line]


@contextmanager
def serve(artifact: Path, depot: Path | None = None) -> Iterator[Server]:
    """`crossmarket serve` as a process, from ready to stopped by SIGTERM."""
    program = Path(sys.executable).with_name("crossmarket")
    more = [] if depot is None else ["--depot", depot, "--admin-port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CROSSMARKET_ADMIN_KEY": ADMIN_KEY}
    environment.pop("CROSSMARKET_READ_KEY", None)
    with tempfile.TemporaryDirectory() as place, (Path(place) / "log").open("w") as log:
        start = time.monotonic()
        process = subprocess.Popen(
            [program, "serve", artifact, "--port", "0", *more],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(1 if depot is None else 2)]
            assert all(lines), Path(log.name).read_text()
            ports = [int(line.rpartition(":")[2]) for line in lines]
            server = Server(process, ports[0], ports[1] if depot else None, Path(log.name))
            while server.call("GET", "/readyz")[0] != 200:
                time.sleep(0.01)
            server.seconds = time.monotonic() - start
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


def request(method: str, path: str, body: bytes = b"", *headers: str) -> bytes:
    """The bytes of a request."""
    head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers]
    if body:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Ask:
    """A request for a list: of a known user, or of whoever has a history."""

    market: str
    user: str | None = None
    history: tuple[str, ...] = ()
    k: int = 10

    @cached_property
    def raw(self) -> bytes:
        """Its bytes."""
        path = f"/v1/markets/{self.market}"
        if self.user is None:
            body = orjson.dumps({"history": self.history, "k": self.k})
            return request("POST", f"{path}/recommendations", body)
        return request(
            "GET", f"{path}/users/{quote(self.user, safe='')}/recommendations?k={self.k}"
        )
