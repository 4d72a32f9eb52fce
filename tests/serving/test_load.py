"""What a few clients may cost all others, and what comes while they are served."""

import asyncio
import itertools
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import polars as pl
from tests.artifact.making import copy_of
from tests.serving.calling import call, part, swap
from tests.serving.making import ITEMS
from tests.serving.test_wire import JSON, POST, get, status
from tests.small import markets

from crossmarket.artifact.artifact import Artifact
from crossmarket.data.dataset import MarketDataset
from crossmarket.packaging.tuning import tune_market
from crossmarket.serving.load import Load
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.settings import Limits
from crossmarket.training.options import RunOptions

ASKED = 60
THREADS = """
import sys
from pathlib import Path
import uvicorn
from threadpoolctl import threadpool_info
from crossmarket.serving.server import run
from crossmarket.serving.settings import Settings
def count(*_, **__):
    print("BLAS", {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"})
uvicorn.Server.run = count
run(Settings(Path(sys.argv[1]), port=0), print)
"""


def test_answers_that_nobody_reads_do_not_pile_up(running):
    """The kernel would keep megabytes of them for each connection."""
    one = get("/openapi.json", close=False)
    size = len(running.exchange(get("/openapi.json")))
    assert size * ASKED < 3_000_000
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", running.port))
        connection.sendall(one * ASKED)
        time.sleep(2)
        received = 0
        try:
            while piece := connection.recv(65536):
                received += len(piece)
        except ConnectionError:
            pass
    assert received < size * ASKED / 2
    assert '"level":"error"' not in running.errors()
    assert running.get("/livez").status_code == 200


def test_changed_bytes_are_refused_or_answered_and_never_fail_inside(running):
    draw = random.Random(0)
    body = b'{"history": ["%s"], "k": 3}' % ITEMS[0].encode()
    post = POST + JSON + b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    statuses = set()
    for sent in (get("/v1/markets"), post) * 100:
        data = bytearray(sent)
        for _ in range(draw.choice([1, 2, 5])):
            start = draw.randrange(len(data))
            stop = start + draw.choice([1, 1, 8])
            data[start : draw.choice([start, stop])] = draw.randbytes(draw.choice([0, 1, 8]))
        with running.connect() as connection:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            try:
                statuses.add(status(connection.recv(65536)))
            except ConnectionError:
                statuses.add(None)
    assert {200, 400} <= statuses <= {None, *range(200, 500)}
    assert '"level":"error"' not in running.errors()
    assert status(running.exchange(post)) == 200


def test_a_market_that_is_tuned_elsewhere_joins_and_no_other_answers_otherwise(
    make_service, depot, tmp_path
):
    own, workshop = (copy_of("dcmpt, paper", tmp_path / name) for name in ("own", "workshop"))
    service = make_service(artifact=own)
    path = "/v1/markets/{}/users/{}/recommendations"
    asked = [path.format(name, part(f"{name}-03")) for name in ("de", "mx", "uk")]
    before = [call(service.public, "GET", one).content for one in asked]
    table = markets().to_frame().filter(market="uk")
    data = MarketDataset.from_frame(table.with_columns(market=pl.lit("jp")))
    tuned = tune_market(workshop, data, "jp", config={"epochs": 1}, options=RunOptions(threads=1))
    shutil.copytree(workshop / "markets" / "jp", depot / "jp-1")
    assert swap(service, "jp", version=tuned.version).json()["changed"]
    answer = call(service.public, "GET", path.format("jp", "uk-03")).json()
    assert (answer["version"], answer["strategy"]) == (tuned.version, "prompted")
    expected = Artifact.open(workshop).recommend("jp", "uk-03")
    assert [one["id"] for one in answer["items"]] == [one.item_id for one in expected.items]
    assert [call(service.public, "GET", one).content for one in asked] == before


def test_scores_are_computed_with_one_thread_whatever_the_environment_says(artifact):
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(artifact)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert "BLAS {1}" in done.stdout


def test_lists_take_turns():
    limits, begun = Limits(in_flight=100), []
    load = Load(limits, Metrics())

    async def ask(length):
        async with load.admitted(length):
            begun.append(length)

    async def watch():
        jobs = [asyncio.create_task(ask(length)) for length in [1000] * 6 + [10] * 40]
        turns = []
        while not all(job.done() for job in jobs):
            before = len(begun)
            await asyncio.sleep(0)
            turns.append(begun[before:])
        return turns

    turns = asyncio.run(watch())
    assert begun.count(10) == 40
    assert max(turn.count(10) for turn in turns) == 4
    longs = [number for number, turn in enumerate(turns) if 1000 in turn]
    assert len(longs) == 6  # never two in a turn
    assert all(after - before >= 4 for before, after in itertools.pairwise(longs))
