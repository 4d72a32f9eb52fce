"""Requests to a service: to its application in this process, or to a process of its own."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from urllib.parse import quote

import httpx

READ, ADMIN = "read-key-for-tests-0123", "admin-key-for-tests-0123"
_SCRIPT = """
import json, sys
from pathlib import Path
from crossmarket.serving.server import run
from crossmarket.serving.settings import Limits, Settings
values = json.loads(sys.argv[1])
paths = {name: Path(values.pop(name)) for name in ("artifact", "depot") if name in values}
limits = Limits(**values.pop("limits", {}))
settings = Settings.make(paths.pop("artifact"), port=0, limits=limits, **paths, **values)
run(settings, lambda line: print(line, flush=True))
"""


def part(text):
    """An id as a part of a path."""
    return quote(text, safe="")


def bearer(key):
    return {} if key is None else {"Authorization": f"Bearer {key}"}


@contextmanager
def client_of(app, key, host="localhost"):
    transport = httpx.ASGITransport(app=app)
    yield httpx.AsyncClient(
        transport=transport, base_url=f"http://{host}", headers=bearer(key), trust_env=False
    )


def call(app, method, path, *, key=READ, host="localhost", **values):
    """Send one request to an application."""

    async def send():
        with client_of(app, key, host) as client:
            async with client:
                return await client.request(method, path, **values)

    return asyncio.run(send())


def administer(service, method, path, *, key=ADMIN, **values):
    return call(service.admin, method, path, key=key, **values)


def swap(service, market, **body):
    return administer(service, "PUT", f"/admin/markets/{market}", json=body)


def problem(answer, status, code):
    """Check that an answer is a problem; returns it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = answer.json()
    assert found["code"] == code
    assert found["status"] == status
    assert found["detail"]
    return found


class Live:
    """A service in a process of its own."""

    def __init__(self, process, ports, log):
        self.process, self.port, self.log = process, ports[0], log
        self.admin_port = ports[1] if len(ports) > 1 else None
        self.url = f"http://127.0.0.1:{self.port}"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}"

    def get(self, path, *, key=READ, **values):
        return httpx.get(self.url + path, headers=bearer(key), trust_env=False, **values)

    def administer(self, method, path, **values):
        url, headers = self.admin_url + path, bearer(ADMIN)
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=30, **values)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def exchange(self, *pieces):
        """Send bytes over one connection; returns all that comes back until it is closed."""
        with self.connect() as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                received = b""
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionError:
                return b""
            return received

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(20)

    def errors(self):
        return self.log.read_text(encoding="utf-8")


@contextmanager
def live(log, **values):
    """A running service; `values` are settings."""
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "CROSSMARKET_READ_KEY": READ,
        "CROSSMARKET_ADMIN_KEY": ADMIN,
    }
    text = json.dumps(
        {
            name: value if isinstance(value, int | dict) else str(value)
            for name, value in values.items()
        }
    )
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, text],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        )
        try:
            lines = [process.stdout.readline() for _ in range(1 + ("admin_port" in values))]
            assert all(lines), log.read_text()
            yield Live(process, [int(line.rpartition(":")[2]) for line in lines], log)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
