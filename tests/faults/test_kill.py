"""A command that is killed at any moment and started again ends with the same bytes."""

import os

import polars as pl
import pytest
from tests.commands import tree
from tests.faults.killing import finish, kill_often, leftovers
from tests.small import TINY, markets, settings, store, write_yaml

from crossmarket.data.readers import read_data
from crossmarket.models.config import merge_values

# Long enough to be hit in every stage; a checkpoint after each epoch.
LONGER = {
    "backbone": {"epochs": 60, "patience": 60},
    "teacher": {"epochs": 40, "patience": 60},
    "epochs": 20,
    "patience": 60,
}
# Without a repository there is no commit to record, whatever happens to this one meanwhile.
ENVIRONMENT = {"CROSSMARKET_CHECKPOINT_SECONDS": "0", "GIT_DIR": os.devnull}


@pytest.fixture
def data(tmp_path):
    return store(tmp_path / "data")


def test_fit(data, tmp_path):
    log = tmp_path / "log"

    def command(out):
        return ("fit", "--data", data, "--out", out, "--threads", 1, *settings(LONGER))

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = finish(*command(whole), log=log, **ENVIRONMENT)
    checkpoints = []

    def look():
        checkpoints.extend(killed.rglob("checkpoint.safetensors"))

    kill_often(
        *command(killed), log=log, kills=8, longest=seconds / 3, seed=1, look=look, **ENVIRONMENT
    )
    finish(*command(killed), log=log, **ENVIRONMENT)
    assert checkpoints, "no kill hit a training that had a checkpoint"
    assert tree(killed, {"timing.json"}) == tree(whole, {"timing.json"})
    assert leftovers(killed) == []
    assert {path.name for path in tmp_path.iterdir()} == {"data", "whole", "killed", "log"}


def test_compare(data, tmp_path):
    log = tmp_path / "log"
    experiment = {
        "name": "Killed",
        "data": "data",
        "targets": ["mx", "uk"],
        "seeds": [0, 1],
        "reference": "Popularity",
        "threads": 1,
        "systems": [
            {"title": "Popularity", "model": "popularity"},
            {"title": "DCMPT", "model": "dcmpt", "config": merge_values(TINY, {"epochs": 10})},
            {"title": "Kept", "model": "dcmpt", "preset": "no-prompt", "config": TINY},
        ],
    }
    path = write_yaml(tmp_path / "experiment.yaml", experiment)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = finish("compare", path, "--out", whole, log=log, **ENVIRONMENT)
    command = ("compare", path, "--out", killed)
    kill_often(*command, log=log, kills=6, longest=seconds / 2, seed=2, **ENVIRONMENT)
    finish(*command, log=log, **ENVIRONMENT)
    assert tree(killed, {"timing.json"}) == tree(whole, {"timing.json"})
    assert leftovers(killed) == []


def test_analyse(data, tmp_path):
    log = tmp_path / "log"
    systems = "Popularity;Item kNN;EASE^R merged;EASE^R single"

    def command(out):
        chosen = ("--systems", systems, "--seeds", "0,1,2")
        return ("analyse", "leak", "--data", data, "--out", out, *chosen)

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seconds = finish(*command(whole), log=log, **ENVIRONMENT)

    def look():
        # The record is written last: where it is, all else is.
        if (killed / "leak.json").is_file():
            assert (killed / "leak.png").read_bytes() == (whole / "leak.png").read_bytes()

    kill_often(
        *command(killed), log=log, kills=5, longest=seconds, seed=4, look=look, **ENVIRONMENT
    )
    finish(*command(killed), log=log, **ENVIRONMENT)
    assert tree(killed) == tree(whole)
    assert leftovers(killed) == []


def test_convert(tmp_path):
    log, table = tmp_path / "log", tmp_path / "table.csv"
    frame = markets().to_frame()
    copies = [frame.with_columns(pl.col("user_id") + f"-{number}") for number in range(100)]
    pl.concat(copies).write_csv(table)
    mapped = "market=market,user=user_id,item=item_id,weight=weight,timestamp=timestamp"
    whole, killed = tmp_path / "whole", tmp_path / "killed"

    def command(out):
        return ("data", "convert", table, "--out", out, "--columns", mapped)

    seconds = finish(*command(whole), log=log)

    def look():
        if killed.exists():  # whatever is seen is a whole store
            assert read_data(killed).dataset.num_interactions == 100 * frame.height

    kill_often(*command(killed), log=log, kills=8, longest=seconds, seed=3, look=look)
    finish(*command(killed), log=log)
    assert tree(killed) == tree(whole)
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "whole", "killed", "log"}
