"""Committed results are what their commands give: a cell of each, drawn by its hash, is run again.

Cells of systems that learn for long are run again by `experiments/recheck.py`.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import yaml
from tests.docs.pages import ROOT
from tests.realdata import shared_data

from crossmarket.analysis.registry import find_analysis
from crossmarket.analysis.run import draw_table
from crossmarket.data.readers import read_data
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.fitting import fit_target
from crossmarket.experiments.published import load_published, published_tables
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.registry import build_model
from crossmarket.reproduction.run import reproduce, setting_of

LABORATORY = ROOT / "experiments" / "results" / "laboratory"
RECORDS = sorted((LABORATORY / "published").glob("*.json"))
BLOCKS = sorted(LABORATORY.glob("*/table.json"))
ANALYSES = sorted([*LABORATORY.glob("analyses/*.json"), *LABORATORY.glob("analyses-de/*.json")])
PLAN = yaml.safe_load((ROOT / "experiments" / "laboratory.yaml").read_text(encoding="utf-8"))
PROTOCOLS = {one.fit_label: one for one in (Protocol(**b["protocol"]) for b in PLAN["blocks"])}

#: Systems that are fitted in a moment, and give the same numbers on any machine.
QUICK = ("popularity", "decayed-popularity", "item-knn")
#: Analyses whose rows are one system's in one market.
BY_SYSTEM = (
    *("leak", "item-groups", "user-groups", "item-overlap", "launch-curve"),
    *("costs", "updated-parameters"),
)
#: Columns that no two runs have in common.
OF_THE_MACHINE = ("seconds_per_epoch", "seconds", "market_seconds", "peak_gb")


@cache
def data_of(name):
    return read_data(shared_data(name))


def drawn(things, salt):
    """One of some things, by a hash of the salt."""
    return things[int(hashlib.sha256(salt.encode()).hexdigest(), 16) % len(things)]


def measured_again(system, protocol, data, market, seed, metric):
    """Mean over users of a metric of a system in a market, fitted here and now."""
    split = protocol.split(data, seed)
    build = build_model(system.model, system.preset, system.config)
    model = fit_target(lambda: build, protocol, split, market)
    return evaluate_market(model, protocol, split, market, [metric]).per_user[metric].mean()


def record_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def named(path):
    return path.stem if path.name != "table.json" else path.parent.name


@pytest.mark.parametrize("path", BLOCKS, ids=named)
def test_a_cell_of_a_block_is_what_the_system_gives(path):
    table = record_of(path)
    plan_data = "wsdm" if path.parent.name == "m3rec" else "xmarket"
    data = data_of(plan_data)
    assert table["data"] == data.dataset.fingerprint
    rows = [row for row in table["systems"] if row["model"] in QUICK]
    row = drawn(rows, table["candidates"][str(table["seeds"][0])])
    market = drawn(list(table["users"]), row["title"] + table["data"])
    metric = table["metrics"][0]
    system = SystemConfig(**{name: row[name] for name in ("title", "model", "preset", "config")})
    protocol = PROTOCOLS[path.parent.name]
    assert protocol.label == table["protocol"]
    means = [measured_again(system, protocol, data, market, seed, metric) for seed in row["seeds"]]
    assert sum(means) / len(means) == pytest.approx(
        row["markets"][market][metric]["mean"], abs=1e-9
    )


@pytest.mark.parametrize("path", RECORDS, ids=named)
def test_a_published_table_is_measured_on_the_files_it_names(path, tmp_path):
    record, table = record_of(path), load_published(path.stem)
    data = data_of(table.data)
    assert record["fingerprint"] == data.dataset.fingerprint
    assert [row["row"] for row in record["rows"]] == list(table.labels)
    if table.kind == "statistics":
        again = reproduce(table, setting_of(table, data, tmp_path))
        assert again["rows"] == record["rows"]
        return
    controls = [control for control in record["controls"] if control["row"] == "Popularity"]
    for control in controls:
        cell = drawn(control["cells"], path.stem)
        market = table.market_of[cell["column"]]
        system = SystemConfig(title="Popularity", model="popularity")
        means = [
            measured_again(system, table.protocol, data, market, seed, cell["metric"])
            for seed in record["seeds"]
        ]
        assert sum(means) / len(means) == pytest.approx(cell["measured"], abs=1e-9)


@pytest.mark.parametrize("path", ANALYSES, ids=named)
def test_a_row_of_an_analysis_is_what_its_command_gives(path, tmp_path):
    record, analysis = record_of(path), find_analysis(path.stem)
    data = data_of(
        "xmarket" if record["data"] == data_of("xmarket").dataset.fingerprint else "wsdm"
    )
    assert record["data"] == data.dataset.fingerprint
    committed = pl.read_csv(path.with_suffix(".csv"), infer_schema_length=None)
    chosen = {"seeds": tuple(record["seeds"]), "protocol": protocol_of(record)}
    if not record["systems"]:
        again = analysis.compute(analysis.setting(data, tmp_path, **chosen))
        assert_close(again, committed)
        return
    if path.stem not in BY_SYSTEM:
        return
    quick = [entry for entry in record["systems"] if entry["model"] in QUICK]
    if quick:
        system = SystemConfig(**drawn(quick, path.stem))
        there = committed.filter(pl.col("system") == system.title)["market"].to_list()
        markets = [market for market in record["markets"] if market in there]
        market, tolerance = drawn(markets, path.stem + system.title), 1e-9
    else:
        # One market alone, the smallest: seconds of training, which processors round differently.
        (entry,) = [entry for entry in record["systems"] if entry["title"] == "NMF"]
        system, market, tolerance = SystemConfig(**entry), "in", 0.05
    setting = analysis.setting(data, tmp_path, systems=(system,), markets=(market,), **chosen)
    own = (pl.col("system") == system.title) & (pl.col("market") == market)
    kept = pl.exclude(OF_THE_MACHINE)
    again = analysis.compute(setting).filter(own).select(kept)
    assert_close(again, committed.filter(own).select(kept), tolerance)


@pytest.mark.parametrize("path", ANALYSES, ids=named)
def test_every_analysis_draws_from_its_committed_table(path, tmp_path):
    analysis = find_analysis(path.stem)
    committed = pl.read_csv(path.with_suffix(".csv"), infer_schema_length=None)
    draw_table(analysis, committed, [tmp_path / "again.png"])
    assert (tmp_path / "again.png").read_bytes()[:4] == b"\x89PNG"
    assert all(path.with_suffix(suffix).is_file() for suffix in (".svg", ".png"))


def protocol_of(record):
    protocol = Protocol(name=record["protocol"])
    assert protocol.label == record["protocol"]
    return protocol


def assert_close(found, committed, tolerance=1e-9):
    """Equal up to what writing as text loses."""
    assert found.columns == committed.columns
    assert found.height == committed.height > 0
    for name in found.columns:
        mine, theirs = found[name].to_list(), committed[name].to_list()
        if found[name].dtype.is_float():
            assert mine == pytest.approx(theirs, abs=tolerance, nan_ok=True)
        else:
            assert [str(value) for value in mine] == [str(value) for value in theirs]


def test_everything_that_is_named_is_there():
    """No published table or block is forgotten once results are committed."""
    assert {path.stem for path in RECORDS} <= set(published_tables())
    assert {path.parent.name for path in BLOCKS} >= {"time-full", "ratio-full"}
    for path in BLOCKS:
        assert Path(path.parent / "costs.md").is_file()
