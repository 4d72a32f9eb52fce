"""The counts of trainable scalars that the package brings are those of the public data."""

import hashlib
import json

import pytest
from tests.realdata import shared_data
from tests.small import markets

from crossmarket.models.facts import trainable_counts
from crossmarket.models.registry import MODELS
from docs import parameters

COUNTED = 3


@pytest.fixture(scope="module")
def train():
    return parameters.training_part(shared_data("xmarket"))


def picked():
    """Some systems with something to train; others whenever a count changes."""
    counts = {name: count for name, count in trainable_counts().items() if count}
    salt = json.dumps(counts)
    return sorted(counts, key=lambda name: hashlib.sha256(f"{name} {salt}".encode()).digest())


def test_the_data_are_those_that_were_counted(train):
    written = json.loads(parameters.FILE.read_text(encoding="utf-8"))
    assert written["data"] == train.fingerprint
    assert (written["target"], written["seed"]) == (parameters.TARGET, parameters.SEED)


@pytest.mark.parametrize("name", [*picked()[:COUNTED], "popularity"])
def test_a_system_trains_as_many_scalars_as_is_written(name, train):
    assert parameters.count(name, train) == trainable_counts()[name]


def test_counting_some_keeps_the_others_in_the_order_of_the_alphabet(tmp_path, monkeypatch, capsys):
    file = tmp_path / "parameters.json"
    file.write_text(json.dumps({"trainable": {"ease": 5, "gmf": 7, "long gone": 1}}))
    monkeypatch.setattr(parameters, "FILE", file)
    monkeypatch.setattr(parameters, "training_part", lambda data: markets())
    assert parameters.main(["gmf"]) == 0
    users, items = len(markets().users("uk")), len(markets().items)
    everybody = sum(len(markets().users(market)) for market in markets().markets)
    assert users < everybody
    width = 8
    expected = (everybody + items) * width + width + 1
    written = json.loads(file.read_text())
    assert written["trainable"] == {"ease": 5, "gmf": expected}
    assert capsys.readouterr().out == f"gmf: {expected:,}\n"
    assert "long gone" not in MODELS
