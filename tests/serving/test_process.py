"""The service as a process: how it starts, what it refuses to start with, how it ends."""

import json
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest
from tests.commands import refused
from tests.serving.calling import ADMIN, READ, bearer, live, part
from tests.serving.making import FIRST, make, spoil, stock, write

from crossmarket.errors import UsageError
from crossmarket.serving.keys import Key
from crossmarket.serving.settings import Settings

SCRIPT = """
import sys
from pathlib import Path
from crossmarket.serving.server import run
from crossmarket.serving.service import Service
from crossmarket.serving.settings import Settings
service = Service(Settings(Path(sys.argv[1])))
assert service.registry.now.market("uk").recommend(explain=True).items
service.close()
ours = {name.split(".")[1] for name in sys.modules if name.startswith("crossmarket.")}
assert ours == {"artifact", "data", "errors", "files", "metrics", "serving"}, ours
import crossmarket.cli
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"torch", "sklearn", "requests", "httpx", "matplotlib"}, loaded
"""


def test_it_starts_without_torch_and_training_code(artifact):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(artifact)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (["--host", "0.0.0.0"], {}, "lets other machines in"),
        (["--host", "::"], {}, "lets other machines in"),
        (["--host", "shop.example"], {}, "lets other machines in"),
        (["--admin-port", 1], {}, "administration needs a key"),
        (["--admin-port", 1], {"CROSSMARKET_ADMIN_KEY": ADMIN}, "administration needs --depot"),
        (
            ["--admin-port", 1],
            {"CROSSMARKET_ADMIN_KEY": READ, "CROSSMARKET_READ_KEY": READ},
            "the same",
        ),
        ([], {"CROSSMARKET_READ_KEY": "short"}, "at least 16 printable"),
        ([], {"CROSSMARKET_READ_KEY": "with a blank in the middle"}, "at least 16 printable"),
        (["--read-key-file", "nowhere"], {}, "cannot read a key from"),
        (["--depot", "nowhere"], {}, "is no folder"),
    ],
)
def test_what_would_leave_it_open_does_not_start(
    artifact, monkeypatch, tmp_path, options, environment, said
):
    monkeypatch.chdir(tmp_path)
    for name in ("CROSSMARKET_READ_KEY", "CROSSMARKET_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    sentence = refused("serve", artifact, *options, code=2)
    assert said in sentence
    assert not [key for key in (READ, ADMIN) if key in sentence]


def test_a_folder_that_is_no_artifact_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("CROSSMARKET_READ_KEY", raising=False)
    assert "is no artifact" in refused("serve", tmp_path, code=1)


def test_keys_come_from_files_and_show_nowhere(tmp_path, artifact):
    file = tmp_path / "key"
    file.write_text(f"{READ}\n")
    settings = Settings.make(artifact, read_key_file=file, environment={}, host="0.0.0.0")
    assert settings.read_key == Key(READ)
    assert settings.read_key.opens(READ.encode())
    assert READ not in repr(settings)
    with pytest.raises(UsageError, match="other machines"):
        Settings.make(artifact, environment={}, host="0.0.0.0")


def test_a_damaged_market_is_left_out_and_the_others_serve(tmp_path):
    artifact = write(tmp_path / "artifact")
    spoil(artifact / "markets" / "de")
    with live(tmp_path / "log", artifact=artifact) as service:
        ready = service.get("/readyz", key=None)
        assert ready.status_code == 200
        assert ready.json()["markets"] == {"de": "unavailable", "mx": "ready", "uk": "ready"}
        assert service.get("/v1/markets/uk").status_code == 200
        answer = service.get("/v1/markets/de/users/u/recommendations")
        assert (answer.status_code, answer.json()["code"]) == (503, "market_unavailable")
        told = [json.loads(line) for line in service.errors().splitlines()]
        assert [one["market"] for one in told if one["event"] == "market_unavailable"] == ["de"]


def test_sigterm_loses_no_request(tmp_path, artifact):
    made = make("uk", FIRST)[1]
    path = f"/v1/markets/uk/users/{part(made.users[0])}/recommendations"
    counted = {"answered": 0, "failed": 0}
    with live(tmp_path / "log", artifact=artifact) as service:

        def ask():
            with httpx.Client(headers=bearer(READ), trust_env=False) as client:
                while True:
                    try:
                        found = client.get(service.url + path)
                    except httpx.ConnectError:  # it no longer listens
                        return
                    except httpx.TransportError:
                        counted["failed"] += 1
                        return
                    assert [item["id"] for item in found.json()["items"]] == made.best(
                        made.users[0]
                    )
                    counted["answered"] += 1

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(1)
        start = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - start < 10
        for thread in threads:
            thread.join()
        assert counted["answered"] > 20
        # A connection may be closed while it is silent, between two requests; nothing else.
        assert counted["failed"] <= len(threads)
        assert json.loads(service.errors().splitlines()[-1])["event"] == "stop"


def test_after_sigkill_in_swaps_a_whole_version_is_back(tmp_path, artifact, depot):
    made = {one.version for one in (make("uk", FIRST)[1], stock(depot, "uk", 2))}
    values = {"artifact": artifact, "depot": depot, "admin_port": 0}
    with live(tmp_path / "log", **values) as service:
        told, stop = [], threading.Event()

        def change():
            while not stop.is_set():
                for version in sorted(made):
                    try:
                        answer = service.administer(
                            "PUT", "/admin/markets/uk", json={"version": version}
                        )
                    except httpx.TransportError:
                        return
                    told.append(answer.json()["version"])

        changer = threading.Thread(target=change)
        changer.start()
        while len(told) < 5:
            time.sleep(0.01)
        service.stop(signal.SIGKILL)
        stop.set()
        changer.join()
    start = time.monotonic()
    with live(tmp_path / "log", **values) as service:
        seconds = time.monotonic() - start
        version = service.get("/v1/markets/uk").json()["version"]
        # What was told last, or the one after it that was decided but not told any more.
        assert version in made
        state = json.loads((depot / "state.json").read_text())
        assert state["lines"]["uk"]["versions"][-1]["version"] == version
        assert service.get("/readyz").json()["status"] == "ready"
        assert seconds < 20
        other = httpx.get(service.url + "/admin/audit", headers=bearer(ADMIN), trust_env=False)
        assert other.status_code == 401
        assert service.administer("GET", "/admin/audit").json()["entries"]
        wrong = httpx.get(service.admin_url + "/v1/markets", headers=bearer(READ), trust_env=False)
        assert wrong.status_code == 401
