"""Requests a second of the service: the top 10 of known users in a market of 12,000 items.

    OMP_NUM_THREADS=1 python benchmarks/serving.py [--seconds 60] [--runs 3]

Server and generator (`wrk`, 32 connections, random users) share the machine. Before and after
each run, lists of some users are compared with a full sort of their scores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

import numpy as np

from artifact_requests import ITEMS, USERS, make
from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.market import Market
from measuring import report

CONNECTIONS, CHECKED, LENGTH = 32, 50, 10
#: Every request asks for another user.
SCRIPT = """
math.randomseed({seed})
request = function()
  local path = "/v1/markets/xx/users/user-%06d/recommendations"
  return wrk.format("GET", string.format(path, math.random(0, {last})))
end
done = function(summary, latency, requests)
  local bad = summary.errors.status + summary.errors.connect + summary.errors.read
  bad = bad + summary.errors.write + summary.errors.timeout
  io.write(string.format('{{"requests": %d, "microseconds": %d, "failed": %d, "p50": %d, ' ..
    '"p99": %d, "max": %d}}', summary.requests, summary.duration, bad,
    latency:percentile(50), latency:percentile(99), latency.max))
end
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        artifact = make(Path(place) / "artifact")
        market = Artifact.from_pretrained(artifact).market("xx")
        server, url = start(artifact)
        try:
            checked = check(url, market, 0)
            runs = []
            for seed in range(options.runs):
                runs.append(load(url, options.seconds, seed, Path(place)))
                checked += check(url, market, seed + 1)
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(20)
    median = sorted(runs, key=lambda run: run["requests_per_second"])[len(runs) // 2]
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    report(
        "serving",
        {
            "settings": f"{ITEMS} items, {USERS} users, vectors of 64, top {LENGTH}, "
            f"{CONNECTIONS} connections, {options.seconds} s, {options.runs} runs",
            "median": median,
            "runs": runs,
            "lists_checked": checked,
            "peak_memory_gb": int(peak[1]) * 1024 / 1e9 if peak else None,
            "goal": {"requests_per_second": 2000, "p99_ms": 25},
        },
    )


def start(artifact: Path) -> tuple[subprocess.Popen[str], str]:
    """The server as a process and where it listens."""
    program = Path(sys.executable).with_name("crossmarket")
    server = subprocess.Popen(
        [program, "serve", artifact, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert server.stdout is not None
    return server, server.stdout.readline().split()[-1]


def load(url: str, seconds: int, seed: int, place: Path) -> dict[str, float]:
    """What `wrk` measures."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("this benchmark needs wrk; install it with the system's package manager")
    script = place / "random-users.lua"
    script.write_text(SCRIPT.format(seed=seed, last=USERS - 1))
    done = subprocess.run(
        [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, url],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert not found["failed"], found
    return {
        "requests_per_second": found["requests"] / found["microseconds"] * 1e6,
        **{f"{name}_ms": found[name] / 1000 for name in ("p50", "p99", "max")},
    }


def check(url: str, market: Market, seed: int) -> int:
    """Compare lists with a full sort; returns how many."""
    for user in np.random.default_rng(seed).choice(USERS, CHECKED, replace=False).tolist():
        with urlopen(f"{url}/v1/markets/xx/users/{market.users.ids[user]}/recommendations") as page:
            found = [item["id"] for item in json.load(page)["items"]]
        scores = market.form.score_user(user, market.seen_by(user)).copy()
        scores[market.seen_by(user)] = -np.inf
        best = np.argsort(-scores, kind="stable")[:LENGTH]
        assert found == [market.item_ids[item] for item in best], (user, found)
    return CHECKED


if __name__ == "__main__":
    main()
