"""`fit`, `evaluate`, `recommend` and `check` on mini-markets, from the command line."""

import json
import shutil

import polars as pl
import pytest
from tests.commands import ok, tree
from tests.small import markets, settings, store

from crossmarket.evaluation.evaluator import METRICS
from crossmarket.experiments.run import Run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Data, and a run of DCMPT on two of its markets."""
    place = tmp_path_factory.mktemp("runs")
    store(place / "markets")
    fitted = ok(
        "fit",
        "--data",
        place / "markets",
        "--targets",
        "mx,uk",
        "--out",
        place / "run",
        "--threads",
        1,
        "--seed",
        3,
        *settings(),
    )
    (place / "log").write_text(fitted.out)
    return place


def test_fit_prints_rows_scalars_and_the_next_step(place):
    lines = (place / "log").read_text().splitlines()
    assert lines[0] == "537 rows read = 537 kept + 0 merged + 0 rejected"
    assert [line.split(",")[0] for line in lines[1:3]] == [
        "mx: 32 trainable scalars",
        "uk: 32 trainable scalars",
    ]
    assert lines[-1].endswith(f"next: crossmarket evaluate {place / 'run'}")


def test_fit_writes_every_setting(place):
    run = Run.open(place / "run")
    assert run.settings.seed == 3
    assert run.settings.targets == ("mx", "uk")
    assert run.settings.config["backbone"]["embedding_size"] == 8
    assert run.settings.config["wrd"]["top"] == 50


def test_evaluate_prints_json(place):
    found = ok("evaluate", place / "run", "--json").json()
    assert found["protocol"] == "ratio-full"
    assert found["seed"] == 3
    assert list(found["markets"]) == ["mx", "uk"]
    for row in found["markets"].values():
        assert row.keys() >= {"ndcg@10", "recall@10", "users"}
        assert isinstance(row["users"], int)
        assert 0 <= row["ndcg@10"] <= 1
        assert 0 <= row["recall@10"] <= 1
    for metric in METRICS:
        mean = sum(row[metric] for row in found["markets"].values()) / 2
        assert found["macro"][metric] == pytest.approx(mean)
    assert found["users"] == sum(row["users"] for row in found["markets"].values())
    assert json.loads((place / "run" / "ratio-full" / "evaluation.json").read_text()) == found


def test_evaluate_prints_a_table(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    shown = ok("evaluate", place / "run").out
    found = ok("evaluate", place / "run", "--json").json()
    assert "dcmpt, ratio-full, seed 3" in shown
    for name, row in [*found["markets"].items(), ("macro", found["macro"])]:
        (line,) = [line for line in shown.splitlines() if name in line.split()]
        assert f"{row['ndcg@10']:.4f}" in line
        assert f"{row['recall@10']:.4f}" in line


def test_evaluate_tells_what_the_others_add_in_a_narrow_terminal(place, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run = shutil.copytree(place / "run", tmp_path / "run")
    shown = ok("evaluate", run, "--alone").out
    found = ok("evaluate", run, "--json").json()
    gains = shown[shown.index("gain from the others") :].splitlines()
    for market, row in found["markets"].items():
        own, alone = row["ndcg@10"], found["alone"]["markets"][market]["ndcg@10"]
        (line,) = [line for line in gains if market in line.split()]
        assert line.split() == [market, f"{own:.4f}", f"{alone:.4f}", f"{own - alone:+.4f}"]
    assert "\u2026" not in shown


def test_evaluate_under_another_protocol_and_options(place):
    found = ok("evaluate", place / "run", "--protocol", "launch@0.5", "--json").json()
    assert found["protocol"] == "launch@0.5"
    options = ("--refit", "--history", "train+valid", "--json")
    found = ok("evaluate", place / "run", "--protocol", "time-full", *options).json()
    assert found["protocol"] == "time-full, refit, history=train+valid"
    ok("check", place / "run")


def test_the_same_command_again_changes_nothing(place):
    before = tree(place / "run")
    again = ok(
        "fit",
        "--data",
        place / "markets",
        "--targets",
        "mx,uk",
        "--out",
        place / "run",
        "--threads",
        1,
        "--seed",
        3,
        *settings(),
    )
    assert [line.split(",")[0] for line in again.out.splitlines()[:-1]] == [
        line.split(",")[0] for line in (place / "log").read_text().splitlines()[:-1]
    ]
    assert tree(place / "run") == before


def test_recommend_for_users(place):
    options = ("--market", "mx", "--user", "mx-01", "--user", "mx-07", "-k", 3, "--json")
    lists = ok("recommend", place / "run", *options).json()
    assert [(row["user_id"], row["rank"]) for row in lists] == [
        ("mx-01", 1),
        ("mx-01", 2),
        ("mx-01", 3),
        ("mx-07", 1),
        ("mx-07", 2),
        ("mx-07", 3),
    ]
    owned = markets().to_frame().filter(pl.col("user_id") == "mx-01")["item_id"].to_list()
    assert not {row["item_id"] for row in lists if row["user_id"] == "mx-01"} & set(owned)


def test_recommend_for_a_bare_history(place):
    bought = markets().items.take(markets().catalogue("mx")[:3])
    options = ("--market", "mx", "--history", ",".join(bought), "-k", 5, "--json")
    lists = ok("recommend", place / "run", *options).json()
    assert {row["user_id"] for row in lists} == {"history-1"}
    assert len(lists) == 5
    assert not {row["item_id"] for row in lists} & set(bought)


def test_recommend_leaves_items_out_or_keeps_them(place):
    command = ("recommend", place / "run", "--market", "mx", "--user", "mx-01", "--json")
    first = [row["item_id"] for row in ok(*command).json()]
    without = [row["item_id"] for row in ok(*command, "--exclude", ",".join(first[:2])).json()]
    assert without[:8] == first[2:]
    everything = ok(*command, "--include-seen", "-k", 1000).json()
    sold = markets().items.take(markets().catalogue("mx"))
    assert {row["item_id"] for row in everything} == set(sold)


def test_recommend_prints_a_table(place, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    command = ("recommend", place / "run", "--market", "mx", "--user", "mx-01", "-k", 2)
    shown = ok(*command).out
    assert "top 2 in mx" in shown
    for row in ok(*command, "--json").json():
        assert any(
            row["item_id"] in line and f"{row['score']:.4f}" in line for line in shown.splitlines()
        )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_recommend_writes_lists_of_all_users(place, tmp_path, suffix):
    out = tmp_path / "new" / f"lists{suffix}"
    command = ("recommend", place / "run", "--market", "uk", "--all-users")
    said = ok(*command, "--out", out).out
    found = pl.read_csv(out) if suffix == ".csv" else pl.read_parquet(out)
    assert said == f"wrote {found.height:,} rows to {out}\n"
    assert found.columns == ["market", "user_id", "item_id", "score", "rank"]
    assert found["user_id"].n_unique() == len(markets().users("uk"))
    shown = pl.DataFrame(ok(*command, "--json").json())
    assert found["item_id"].to_list() == shown["item_id"].to_list()


def test_given_parts_are_evaluated_as_they_are(place, tmp_path):
    ok("data", "split", place / "markets", "--out", tmp_path / "parts", "--seed", 3)
    model = ("--model", "popularity", "--threads", 1, "--out")
    given = ("--data", tmp_path / "parts", "--protocol", "given-full")
    ok("fit", *given, *model, tmp_path / "given")
    ok("fit", "--data", place / "markets", "--seed", 3, *model, tmp_path / "own")
    values = [
        ok("evaluate", tmp_path / name, "--json").json()["markets"] for name in ("given", "own")
    ]
    assert values[0] == values[1]


def test_only_the_named_markets_are_read(place, tmp_path):
    options = ("--markets", "uk", "--targets", "mx", "--model", "popularity", "--out")
    ok("fit", "--data", place / "markets", *options, tmp_path / "run")
    assert Run.open(tmp_path / "run").data.dataset.markets == ("mx", "uk")
