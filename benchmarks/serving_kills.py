"""The service is killed while markets change: what is served when it is back?

    OMP_NUM_THREADS=1 python benchmarks/serving_kills.py [--kills 30 --seed 0]

At random moments within a stream of swaps, removals and rollbacks the process gets SIGKILL. After
each start it must serve what was told last, or wholly what the change that nobody was told of
would have come to; the state on disk must say the same, and lists are compared with a full sort.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import random
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from crossmarket.serving.state import STATE
from measuring import report
from service import Ask, Server, serve
from serving_changes import KEPT, Administrator
from serving_load import each
from serving_markets import MARKETS, NEW, Oracle, add_sizes, make_markets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--longest", type=float, default=1.0, help="seconds until a kill, at most")
    parser.add_argument("--sampled", type=int, default=50, help="lists of a market after a start")
    add_sizes(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        size = (options.users, options.items)
        artifact, depot, oracle = make_markets(Path(place), KEPT + 1, *size)
        values = measure(artifact, depot, oracle, options)
    goal = {"seconds_to_ready": 3}
    report("serving-kills", {"settings": vars(options), **values, "goal": goal})


def measure(
    artifact: Path, depot: Path, oracle: Oracle, options: argparse.Namespace
) -> dict[str, Any]:
    """Start, check, change, kill, and again."""
    chance, starts, checked = random.Random(options.seed), [], 0
    found: Counter[str] = Counter()
    versions = {market: oracle.of(market) for market in (*MARKETS, NEW)}
    administrator: Administrator | None = None
    for number in range(options.kills + 1):
        with serve(artifact, depot) as server:
            starts.append(server.seconds)
            served = server.versions()
            if administrator is None:
                administrator = Administrator(versions, served, options.seed)
            else:
                found[administrator.settle(served)] += 1
                require_state(depot, administrator)
            users = chance.sample(range(options.users), options.sampled)
            asks = [Ask(market, f"user-{user:06}") for market in served for user in users]
            for reply in asyncio.run(each(server.port, asks)):
                assert reply.status == 200, reply
                assert json.loads(reply.body)["version"] == served[reply.ask.market]
                assert oracle.wrong(reply.ask, reply.body) is None, reply
            checked += len(asks)
            assert not server.failures(), server.failures()
            if number < options.kills:
                kill_in_changes(server, administrator, chance.uniform(0, options.longest))
    assert administrator is not None
    return {
        "kills": options.kills,
        "served_after_a_kill": dict(found),
        "changes_answered": len(administrator.done),
        "seconds_to_ready": {"first": starts[0], "longest_after_a_kill": max(starts[1:])},
        "lists_checked": checked,
    }


def kill_in_changes(server: Server, administrator: Administrator, seconds: float) -> None:
    """Change markets without a pause, and kill the server after some seconds."""
    wrong: list[BaseException] = []

    def change() -> None:
        try:
            while True:
                administrator.change(server)
        except (OSError, http.client.HTTPException):
            return  # it is dead
        except AssertionError as error:
            wrong.append(error)

    changer = threading.Thread(target=change)
    changer.start()
    time.sleep(seconds)
    server.process.kill()
    changer.join()
    if wrong:
        raise wrong[0]


def require_state(depot: Path, administrator: Administrator) -> None:
    """The file says what the administrator knows, of every market that was ever changed."""
    lines = json.loads((depot / STATE).read_text())["lines"] if (depot / STATE).exists() else {}
    for name, line in lines.items():
        known = administrator.lines[name]
        assert [one["version"] for one in line["versions"]] == known.versions, name
        assert line["served"] == known.served, name


if __name__ == "__main__":
    main()
