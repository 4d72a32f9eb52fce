"""The main job with every command in a process of its own, as a user runs it."""

import json
import subprocess
import sys

import polars as pl
from tests.commands import start
from tests.small import SIMULATION, TINY, settings, store, write_yaml

from crossmarket.experiments.locking import locked


def run(*command, folder):
    log = folder / "log.txt"
    process = start(*command, log=log)
    process.join()
    return process.exitcode, log.read_text()


def ok(*command, folder):
    code, text = run(*command, folder=folder)
    assert code == 0, text
    return text


def test_from_simulated_markets_to_lists_and_a_table(tmp_path):
    config = write_yaml(tmp_path / "simulation.yaml", SIMULATION)
    markets, out = tmp_path / "markets", tmp_path / "run"
    text = ok("data", "simulate", "--config", config, "--out", markets, folder=tmp_path)
    assert text == f"wrote 537 interactions of 3 markets to {markets}\n"
    ok("data", "describe", markets, "--plot", tmp_path / "m.svg", folder=tmp_path)

    fit = ("fit", "--data", markets, "--targets", "all", "--out", out, "--threads", 1)
    text = ok(*fit, *settings(), folder=tmp_path)
    assert [line[:3] for line in text.splitlines()[1:4]] == ["de:", "mx:", "uk:"]

    result = json.loads(ok("evaluate", out, "--json", folder=tmp_path))
    assert result["markets"].keys() == {"de", "mx", "uk"}

    listed = json.loads(
        ok("recommend", out, "--market", "mx", "--user", "mx-03", "--json", folder=tmp_path)
    )
    assert [row["rank"] for row in listed] == list(range(1, len(listed) + 1))
    ok(
        "recommend",
        out,
        "--market",
        "uk",
        "--all-users",
        "--out",
        tmp_path / "l.csv",
        folder=tmp_path,
    )
    assert pl.read_csv(tmp_path / "l.csv")["user_id"].n_unique() == 24
    assert ok("check", out, folder=tmp_path).endswith("passed: no leak, no damage\n")

    experiment = {
        "name": "End to end",
        "data": "markets",
        "threads": 1,
        "reference": "DCMPT",
        "systems": [
            {"title": "Popularity", "model": "popularity"},
            {"title": "DCMPT", "model": "dcmpt", "config": TINY},
        ],
    }
    path = write_yaml(tmp_path / "experiment.yaml", experiment)
    ok("compare", path, "--out", tmp_path / "compared", folder=tmp_path)
    table = json.loads((tmp_path / "compared" / "table.json").read_text())
    # The comparison and the run are the same computation.
    for market, row in result["markets"].items():
        cell = table["systems"][1]["markets"][market]
        assert cell["ndcg@10"]["mean"] == row["ndcg@10"]
        assert cell["recall@10"]["mean"] == row["recall@10"]
    leftover = [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")]
    assert leftover == []


def test_a_failed_check_is_exit_code_1(tmp_path):
    config = write_yaml(tmp_path / "simulation.yaml", SIMULATION)
    ok("data", "simulate", "--config", config, "--out", tmp_path / "markets", folder=tmp_path)
    fit = ("fit", "--data", tmp_path / "markets", "--model", "lightgcn", "--out", tmp_path / "run")
    options = ("--set", "epochs=1", "--targets", "mx", "--threads", 1)
    ok(*fit, *options, folder=tmp_path)
    (model,) = (tmp_path / "run").rglob("model.safetensors")
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    code, text = run("check", tmp_path / "run", folder=tmp_path)
    assert code == 1
    assert f"damaged: the trained stage in {model.parent} does not match" in text
    # Nor is the spoilt model used.
    code, text = run(*fit, *options, folder=tmp_path)
    assert code == 1
    assert text.splitlines()[-1].startswith("error: the trained stage in ")


def test_a_second_process_is_kept_out(tmp_path):
    data = store(tmp_path / "markets")
    fit = ("fit", "--data", data, "--model", "popularity", "--out", tmp_path / "run")
    with locked(tmp_path / "run"):
        code, text = run(*fit, folder=tmp_path)
    assert code == 2
    expected = f"error: another process is at work in {tmp_path / 'run'}; wait for it to end"
    assert text.splitlines()[-1] == expected
    ok(*fit, folder=tmp_path)


def real(*arguments):
    command = [sys.executable, "-m", "crossmarket", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_traceback_is_shown_with_debug_only(tmp_path):
    plain = real("data", "describe", tmp_path / "nowhere")
    assert plain.returncode == 2
    assert plain.stdout == ""
    assert plain.stderr == (
        f"error: {tmp_path / 'nowhere'} does not exist; name a file or folder of interactions\n"
    )
    told = real("data", "describe", tmp_path / "nowhere", "--debug")
    assert told.returncode == 1
    assert told.stderr.startswith("Traceback (most recent call last):")
    assert "UsageError" in told.stderr.splitlines()[-1]


def test_a_pipe_that_closes_is_no_error(tmp_path):
    program = f"{sys.executable} -m crossmarket --help | head -n 1"
    shown = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("Usage: ")
    assert shown.stderr == ""
