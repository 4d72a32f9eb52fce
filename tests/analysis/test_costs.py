"""What a system costs: counted, measured, or read from the stages that are there."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from tests.analysis.tiny import EASE, POPULARITY, acmr, dcmpt, setting

from crossmarket.analysis import costs
from crossmarket.analysis.costs import chosen_market, compute, stage_seconds
from crossmarket.files import read_json, write_json


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    chosen = setting(tmp_path_factory.mktemp("costs"), POPULARITY, EASE, acmr(), dcmpt())
    return chosen, compute(chosen)


def row_of(table, title):
    (row,) = table.filter(system=title).iter_rows(named=True)
    return row


def stages_of(chosen, *kinds):
    """Folders of the stages of some kinds."""
    found = {place.name.rsplit("-", 1)[0]: place for place in (chosen.folder / "stages").iterdir()}
    return [found[kind] for kind in kinds]


def test_parameters_epochs_and_quality(measured):
    chosen, table = measured
    records, _ = chosen.comparison(markets=["uk"]).run()
    for record in records:
        row = row_of(table, record["title"])
        assert row["market"] == "uk"
        assert row["trainable"] == record["trainable"]["uk"]
        assert row["ndcg@10"] == record["markets"]["uk"]["ndcg@10"]
        assert row["recall@10"] == record["markets"]["uk"]["recall@10"]
        assert row["seconds"] >= row["market_seconds"] > 0
        assert 0.05 < row["peak_gb"] < 50
    for title in ("Popularity", "EASE"):
        row = row_of(table, title)
        assert (row["stages"], row["epochs"], row["seconds_per_epoch"]) == (0, 0, 0.0)
        assert row["seconds"] == row["market_seconds"]
    # basis and attention of two prompts of width 8
    assert row_of(table, "DCMPT")["trainable"] == 2 * 2 * 8


@pytest.mark.parametrize(
    ("title", "shared", "own"),
    [("DCMPT", ["backbone"], ["uk-teacher", "uk-prompts"]), ("ACMR", ["all-acmr"], ["uk-acmr"])],
)
def test_seconds_are_those_of_the_stages(measured, title, shared, own):
    chosen, table = measured
    row = row_of(table, title)
    common, alone = stages_of(chosen, *shared), stages_of(chosen, *own)
    assert (row["stages"], row["stages_read"]) == (len(common) + len(alone), 0)
    last = read_json(alone[-1] / "timing.json")["seconds_per_epoch"]
    assert row["epochs"] == len(last) == read_json(alone[-1] / "stage.json")["epochs"]
    assert row["seconds_per_epoch"] == pytest.approx(np.median(last))
    saved = sum(sum(stage_seconds(place)) for place in common)
    assert row["seconds"] - row["market_seconds"] == pytest.approx(saved)
    assert row["market_seconds"] > sum(sum(stage_seconds(place)) for place in alone)


def test_stages_that_are_there_count_with_the_seconds_written_down(measured, tmp_path):
    chosen, table = measured
    shutil.copytree(chosen.folder / "stages", tmp_path / "stages")
    again = replace(chosen, folder=tmp_path)
    (prompts,) = stages_of(again, "uk-prompts")
    write_json(prompts / "timing.json", {"seconds_per_epoch": [500.0, 300.0]})
    row = row_of(compute(again), "DCMPT")
    assert row["stages_read"] == row["stages"] == 3
    assert row["peak_gb"] is None
    assert row["seconds_per_epoch"] == 400.0
    assert 800 < row["market_seconds"] < row["seconds"] < 860
    assert row["trainable"] == row_of(table, "DCMPT")["trainable"]


def test_what_is_measured_once_is_kept(measured, monkeypatch):
    chosen, table = measured
    monkeypatch.setattr(costs, "fit_system", None)
    assert compute(chosen).equals(table)


def test_epochs_before_an_interruption_count_as_the_others(tmp_path):
    write_json(tmp_path / "stage.json", {"epochs": 5})
    write_json(tmp_path / "timing.json", {"seconds_per_epoch": [1.0, 3.0]})
    assert stage_seconds(tmp_path) == [1.0, 3.0, 2.0, 2.0, 2.0]
    write_json(tmp_path / "timing.json", {"seconds_per_epoch": []})
    assert stage_seconds(tmp_path) == [0.0] * 5


def test_the_market_is_uk_or_the_largest(tmp_path):
    assert chosen_market(setting(tmp_path, EASE, names=("de", "mx", "uk"))) == "uk"
    assert chosen_market(setting(tmp_path, EASE, names=("mx", "de"))) == "de"
