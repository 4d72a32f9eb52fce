import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.commands import ok, refused, run, tree
from tests.small import markets, plant, result_of, store, with_parts

from crossmarket.data.store import write_store
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.checking import check_path
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.experiments.stored_split import is_split, read_split, write_split

TESTED = Protocol().split(result_of(markets()), 0)


def write_parts(folder, split):
    write_store(with_parts(split), folder)
    return folder


@pytest.mark.parametrize("count", [0, 1, 7, TESTED.test.num_interactions])
def test_exactly_the_planted_leaks_are_found(tmp_path, count):
    spoilt = plant(TESTED, count, seed=count)
    folder = write_parts(tmp_path / "data", spoilt)
    report = check_path(folder)
    assert report.leaks.height == count
    found = set(report.leaks.select("market", "user_id", "item_id").iter_rows())
    tested = set(TESTED.test.to_frame().select("market", "user_id", "item_id").iter_rows())
    trained = set(spoilt.train.to_frame().select("market", "user_id", "item_id").iter_rows())
    assert found == tested & trained
    result = run("check", folder)
    assert result.code == (1 if count else 0)
    assert result.err == ""
    last = result.out.splitlines()[-1]
    assert last == (
        f"failed: {count} leaked pairs, 0 damaged files" if count else "passed: no leak, no damage"
    )


@given(count=st.integers(0, 40), seed=st.integers(0, 1000))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_number_of_leaks_is_counted_exactly(tmp_path, count, seed):
    folder = write_parts(tmp_path / "data", plant(TESTED, count, seed=seed))
    found = run("check", folder, "--json")
    assert found.json()["num_leaks"] == len(found.json()["leaks"]) == count
    assert found.code == (1 if count else 0)


def test_a_leak_is_named(tmp_path):
    folder = write_parts(tmp_path / "data", plant(TESTED, 12))
    lines = run("check", folder).out.splitlines()
    row = check_path(folder).leaks.row(0, named=True)
    assert lines[1] == (
        f"leak: user {row['user_id']} and item {row['item_id']} of market {row['market']} "
        "are in train and test"
    )
    assert lines[-2] == "... and 2 more"


def test_learning_from_leaking_parts_is_refused(tmp_path):
    folder = write_parts(tmp_path / "data", plant(TESTED, 3))
    arguments = ("fit", "--data", folder, "--out", tmp_path / "run", "--model", "popularity")
    said = refused(*arguments, "--protocol", "given-full", code=1)
    assert said.startswith("the split leaks 3 interaction(s), e.g. item ")
    assert not (tmp_path / "run").exists()
    # The same data split anew are all right.
    ok(*arguments, "--protocol", "ratio-full")


def test_plain_data_have_nothing_to_compare(tmp_path):
    folder = store(tmp_path / "data")
    said = refused("check", folder, code=2)
    assert said == (
        f"{folder} has no train, valid and test parts to compare; "
        f"make them with `crossmarket data split {folder} --out FOLDER`"
    )


def test_what_is_not_there_cannot_be_checked(tmp_path):
    with pytest.raises(UsageError, match="there is nothing at"):
        check_path(tmp_path / "missing")


@pytest.mark.parametrize("protocol", ["ratio-full", "time-full", "loo-99"])
def test_split_data_pass_and_bring_their_dates(tmp_path, protocol):
    source, folder = store(tmp_path / "data"), tmp_path / "split"
    ok("data", "split", source, "--protocol", protocol, "--out", folder, "--seed", 3)
    made = Protocol(name=protocol).split(result_of(markets()), 3)
    assert is_split(folder)
    assert read_split(folder).details == made.details
    assert read_split(folder).counts() == made.counts()
    ok("check", folder)


def test_an_interaction_on_the_wrong_side_of_the_dates_is_found(tmp_path):
    made = Protocol(name="time-full").split(result_of(markets()), 0)
    late = markets().edges("uk").select(np.array([0]))
    swapped = made.details | {"valid_from": int(late.timestamps[0]) - 1}
    spoilt = type(made)("time", 0, swapped, made.train, made.valid, made.test)
    write_split(spoilt, result_of(markets()), tmp_path / "split")
    report = check_path(tmp_path / "split")
    assert not report.passed
    assert set(report.leaks["part_b"]) == {"time"}


def test_a_split_with_an_empty_part_survives(tmp_path):
    nothing = {m: TESTED.valid.edges(m).select(slice(0, 0)) for m in markets().markets}
    refitted = type(TESTED)(
        "ratio", 0, {}, TESTED.train, TESTED.valid.replace_edges(nothing), TESTED.test
    )
    write_split(refitted, result_of(markets()), tmp_path / "split")
    assert read_split(tmp_path / "split").counts() == refitted.counts()


@pytest.fixture
def run_folder(tmp_path):
    chosen = resolve_settings(
        "lightgcn", None, {"epochs": 1, "embedding_size": 4}, targets=("mx",), threads=1
    )
    made = Run.create(tmp_path / "run", chosen, result_of(markets()))
    made.fit(Protocol())
    return made.path


def test_a_clean_run_passes(run_folder):
    before = tree(run_folder)
    result = ok("check", run_folder)
    assert result.out.splitlines()[-1] == "passed: no leak, no damage"
    assert tree(run_folder) == before


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "pattern",
    [
        "*/stages/*/model.safetensors",
        "*/stages/*/stage.json",
        "*/split/interactions.parquet",
        "*/split/split.json",
        "*/split/data.json",
        "data/interactions.parquet",
        "data/data.json",
    ],
)
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied"])
def test_a_tampered_file_is_found(run_folder, pattern, how):
    (path,) = run_folder.glob(pattern)
    if how == "flipped":
        flip(path, 0 if path.suffix == ".json" else len(path.read_bytes()) // 2)
    else:
        path.write_bytes(path.read_bytes()[: 40 if how == "cut" else 0])
    result = run("check", run_folder)
    assert result.code == 1, result
    assert result.err == ""
    assert "damaged: " in result.out
    assert result.out.splitlines()[-1].endswith("1 damaged files")


def test_a_missing_model_is_found(run_folder):
    (path,) = run_folder.glob("*/stages/*/model.safetensors")
    path.unlink()
    found = run("check", run_folder, "--json")
    assert found.code == 1
    assert str(path.parent) in found.json()["damage"][0]


def test_a_leak_put_into_a_stored_split_is_found(run_folder):
    split = read_split(run_folder / "ratio-full" / "split")
    write_split(plant(split, 2), result_of(markets()), run_folder / "ratio-full" / "split")
    found = run("check", run_folder, "--json")
    assert found.code == 1
    assert found.json()["num_leaks"] == 2
    assert {row["split"] for row in found.json()["leaks"]} == {"ratio-full"}


def test_json_holds_the_whole_report(run_folder):
    found = ok("check", run_folder, "--json").json()
    assert found["passed"] is True
    assert found["leaks"] == found["damage"] == []
    assert found == json.loads(json.dumps(check_path(run_folder).to_dict()))
    assert pl.DataFrame(found["checked"]).height == 3


def test_a_leaky_protocol_passes_only_where_it_is_named(tmp_path):
    store(tmp_path / "data")
    ok("data", "split", tmp_path / "data", "--protocol", "dcmpt-leaky", "--out", tmp_path / "parts")
    leaks = check_path(tmp_path / "parts").leaks.height
    assert leaks > 0
    assert run("check", tmp_path / "parts").code == 1
    named = ok("check", tmp_path / "parts", "--leaky", "dcmpt-leaky")
    assert f"parts of parts: {leaks:,} leaked pairs, on purpose" in named.out
    honest = refused("check", tmp_path / "parts", "--leaky", "ratio-full")
    assert "protocol 'ratio-full' must not leak" in honest


def test_a_run_of_a_leaky_protocol_passes_only_where_it_is_named(tmp_path):
    store(tmp_path / "data")
    arguments = ["--model", "popularity", "--protocol", "dcmpt-leaky", "--targets", "mx"]
    ok("fit", "--data", tmp_path / "data", "--out", tmp_path / "run", *arguments)
    failed = run("check", tmp_path / "run")
    assert failed.code == 1
    assert "are in train and valid" in failed.out
    ok("check", tmp_path / "run", "--leaky", "dcmpt-leaky")
    spoilt = Path(tmp_path / "run" / "dcmpt-leaky" / "split")
    assert read_split(spoilt).name == "dcmpt-leaky"
