import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from crossmarket import files
from crossmarket.data import store
from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.data.readers import read_data
from crossmarket.data.simulate import SimulatedMarket, SimulationConfig, simulate
from crossmarket.data.store import write_store
from crossmarket.errors import DataError, UsageError

ROWS = [
    ("uk", "007", "NA", 4.0, 86_400),
    ("uk", "7", "=cmd()", 1.0, None),
    ("de", "007", "NA", 0.7, 5),
]


@pytest.fixture
def dataset():
    return MarketDataset.from_frame(pl.DataFrame(ROWS, schema=SCHEMA, orient="row"))


@pytest.fixture
def wsdm(tmp_path):
    """A read result with parts, a merged, a rejected and a doubly held pair."""
    folder = tmp_path / "cup" / "t1"
    folder.mkdir(parents=True)
    train = "userId\titemId\trating\na\tx\t1\na\tx\t2\nb\t\t1\nb\ty\t1\n"
    (folder / "train_5core.tsv").write_text(train)
    (folder / "valid_qrel.tsv").write_text("userId\titemId\trating\na\tz\t1\nb\ty\t5\n")
    return read_data(tmp_path / "cup", max_rejected=0.5)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_round_trip(dataset, tmp_path):
    write_store(dataset, tmp_path / "store")
    result = read_data(tmp_path / "store")
    assert result.dataset.fingerprint == dataset.fingerprint
    assert result.dataset.to_frame().equals(dataset.to_frame())
    assert result.parts is None
    assert result.report.total.kept == result.report.total.read == len(ROWS)
    table = pl.read_parquet(tmp_path / "store" / "interactions.parquet")
    assert dict(table.schema) == SCHEMA


def test_round_trip_of_parts_and_accounting(wsdm, tmp_path):
    write_store(wsdm, tmp_path / "store")
    result = read_data(tmp_path / "store")
    assert result.dataset.fingerprint == wsdm.dataset.fingerprint
    assert set(result.parts) == {"train", "valid"}
    for name, part in wsdm.parts.items():
        assert result.parts[name].fingerprint == part.fingerprint
    facts = json.loads((tmp_path / "store" / "data.json").read_text())
    assert facts["accounting"] == wsdm.report.to_dict()
    assert facts["accounting"]["rejected"] == {"empty_id": 1}
    assert facts["accounting"]["merged"] == 2
    assert facts["markets"] == {"t1": {"users": 2, "items": 3, "interactions": 3}}
    assert facts["parts"] == {"train": 2, "valid": 2}
    rejected = pl.read_csv(tmp_path / "store" / "rejected.csv")
    assert rejected.rows() == [("t1/train_5core.tsv", 4, "empty_id", "b\t\t1")]


def test_parts_need_not_cover_the_data(dataset, wsdm, tmp_path):
    kept = dataset.replace_edges({"uk": dataset.edges("uk").select(np.array([False, True]))})
    write_store(replace(wsdm, dataset=dataset, parts={"train": kept}), tmp_path / "store")
    result = read_data(tmp_path / "store")
    assert result.dataset.fingerprint == dataset.fingerprint
    assert result.parts["train"].fingerprint == kept.fingerprint


def test_parts_that_do_not_belong_to_the_data_are_refused(dataset, wsdm, tmp_path):
    with pytest.raises(UsageError, match=r"part 'train' holds \(t1, a, x\), which is not in"):
        write_store(replace(wsdm, dataset=dataset), tmp_path / "store")
    nothing = np.array([], dtype=np.int64)
    none = {market: dataset.edges(market).select(nothing) for market in dataset.markets}
    parts = {"valid": dataset.replace_edges(none)}
    with pytest.raises(UsageError, match="part 'valid' holds no interaction"):
        write_store(replace(wsdm, dataset=dataset, parts=parts), tmp_path / "store")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cup"]


def test_same_data_give_the_same_bytes(dataset, tmp_path):
    write_store(dataset, tmp_path / "a")
    shuffled = dataset.to_frame().sample(fraction=1, shuffle=True, seed=3)
    write_store(MarketDataset.from_frame(shuffled), tmp_path / "b")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("name", ["interactions.parquet", "data.json"])
def test_tampering_is_found(dataset, tmp_path, name):
    write_store(dataset, tmp_path / "store")
    file = tmp_path / "store" / name
    if name == "data.json":
        facts = json.loads(file.read_text())
        file.write_text(json.dumps({**facts, "fingerprint": "0" * 64}))
    else:
        pl.read_parquet(file).with_columns(pl.lit(1.0).alias("weight")).write_parquet(file)
    with pytest.raises(DataError, match="was changed after it was written"):
        read_data(tmp_path / "store")


def test_min_weight_applies_to_a_store(dataset, tmp_path):
    write_store(dataset, tmp_path / "store")
    result = read_data(tmp_path / "store", min_weight=0.7)
    assert result.dataset.num_interactions == 3
    with pytest.raises(DataError, match="leaves no row of market 'de'"):
        read_data(tmp_path / "store", min_weight=0.71)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99, this program reads version 1"),
        ({"files": None}, "lacks 'files'"),
    ],
)
def test_descriptions_that_do_not_fit(dataset, tmp_path, change, message):
    write_store(dataset, tmp_path / "store")
    file = tmp_path / "store" / "data.json"
    facts = {**json.loads(file.read_text()), **change}
    file.write_text(json.dumps({key: value for key, value in facts.items() if value is not None}))
    with pytest.raises(DataError, match=message):
        read_data(tmp_path / "store")


def test_a_store_lacking_its_interactions(dataset, tmp_path):
    write_store(dataset, tmp_path / "store")
    (tmp_path / "store" / "interactions.parquet").unlink()
    with pytest.raises(DataError, match=r"cannot read .*interactions\.parquet"):
        read_data(tmp_path / "store")


def test_a_description_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "data.json").write_text("{")
    with pytest.raises(DataError, match=r"data\.json cannot be read"):
        read_data(tmp_path, format="store")


def test_only_a_store_is_overwritten(dataset, wsdm, tmp_path):
    target = tmp_path / "store"
    write_store(dataset, target, extras={"truth.json": {"known": True}})
    assert "truth.json" in contents(target)
    write_store(wsdm, target)
    assert "truth.json" not in contents(target)
    assert read_data(target).dataset.fingerprint == wsdm.dataset.fingerprint
    other = tmp_path / "home"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    with pytest.raises(UsageError, match="holds no store"):
        write_store(dataset, other)
    with pytest.raises(UsageError, match="is not a folder"):
        write_store(dataset, other / "letter.txt")
    assert contents(other) == {"letter.txt": b"dear"}


def test_an_empty_folder_is_a_fine_target(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    write_store(dataset, tmp_path / "empty")
    assert read_data(tmp_path / "empty").dataset.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("step", range(4))
def test_a_stop_at_any_step_leaves_the_old_store(dataset, wsdm, tmp_path, monkeypatch, step):
    target = tmp_path / "store"
    write_store(dataset, target)
    before = contents(target)
    calls = iter(range(10))

    def stopping(original):
        def call(*arguments):
            if next(calls) == step:
                raise OSError(28, "No space left on device")
            return original(*arguments)

        return call

    for place, name in (
        (store, "write_atomically"),
        (store, "write_json"),
        (files, "_exchange"),
    ):
        monkeypatch.setattr(place, name, stopping(getattr(place, name)))
    with pytest.raises(OSError, match="No space"):
        write_store(wsdm, target)
    assert contents(target) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cup", "store"]


def test_a_failed_move_puts_the_old_store_back(dataset, wsdm, tmp_path, monkeypatch):
    target = tmp_path / "store"
    write_store(dataset, target)
    before = contents(target)
    rename = type(target).rename

    def failing(path, destination):
        if path.name.endswith(".new.tmp"):
            raise OSError(5, "Input/output error")
        return rename(path, destination)

    monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    monkeypatch.setattr(type(target), "rename", failing)
    with pytest.raises(OSError, match="Input/output"):
        write_store(wsdm, target)
    assert contents(target) == before


def test_a_part_of_a_larger_set_is_refused(dataset, tmp_path):
    uk = dataset.edges("uk")
    part = dataset.replace_edges({"uk": uk.select(np.array([True, False]))})
    with pytest.raises(UsageError, match="part of a larger set"):
        write_store(part, tmp_path / "store")
    with pytest.raises(UsageError, match="occur in no market"):
        write_store(dataset.select_markets(["de"]), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_simulation_survives_the_store(tmp_path):
    market = SimulatedMarket(name="se", users=20, interactions_per_user=6)
    dataset = simulate(SimulationConfig(markets=(market,))).dataset
    write_store(dataset, tmp_path / "store")
    assert read_data(tmp_path / "store").dataset.fingerprint == dataset.fingerprint
