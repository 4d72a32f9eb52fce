"""Each kind of table against what its definition gives on the mini-markets."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.realdata import shared_data
from tests.reproduction.tables import EASE, KNN, POPULARITY, published, row, setting
from tests.small import markets, result_of

from crossmarket.data.readers import read_data
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.experiments.fitting import fit_target
from crossmarket.experiments.published import load_published
from crossmarket.experiments.run import restrict
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.registry import build_model
from crossmarket.reproduction.render import to_markdown
from crossmarket.reproduction.run import MEASURES, reproduce

DATA = result_of(markets())
NDCG = {"ndcg@10": [0.1, 0.2]}


def evaluated(system, protocol, target, seed, data=DATA):
    """NDCG@10 on test and on validation of a system, fitted here and now."""
    split = protocol.split(data, seed)
    model = fit_target(
        lambda: build_model(system["model"], None, system.get("config", {})),
        protocol,
        split,
        target,
    )
    test = evaluate_market(model, protocol, split, target).per_user["ndcg@10"]
    held_out = HeldOut(
        split.valid.matrix(target), split.train.matrix(target), split.train.catalogue(target)
    )
    valid = held_out.evaluate(lambda users: model.score(users, held_out.candidates), ["ndcg@10"])
    return test, float(valid["ndcg@10"].mean())


def test_a_comparison_gives_means_and_errors_over_users(tmp_path):
    table = published(tmp_path, [row("A", POPULARITY, NDCG), row("B", EASE, NDCG)])
    own = setting(table, DATA, tmp_path / "out", seeds=(0, 1))
    found = MEASURES["comparison"](table, own).cells
    assert found.height == 2 * 2 * 2
    for label, metric, column, seed, value, error in found.iter_rows():
        system = {"A": POPULARITY, "B": EASE}[label]
        test, _ = evaluated(system, table.protocol, column, seed)
        assert metric == "ndcg@10"
        assert value == pytest.approx(test.mean(), abs=1e-12)
        assert error == pytest.approx(test.std() / np.sqrt(len(test)), abs=1e-12)


@pytest.mark.parametrize("chosen", ["mx", "average", "best"])
def test_rows_with_sources_learn_from_the_target_and_those(tmp_path, chosen):
    rows = [row("A", EASE, NDCG, sources=chosen)]
    table = published(tmp_path, rows, kind="sources", columns=["de", "uk"])
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    cells = MEASURES["sources"](table, own).cells
    for target in ("de", "uk"):
        others = [name for name in markets().markets if name != target]
        pairs = {
            other: evaluated(EASE, table.protocol, target, 0, restrict(DATA, [target, other]))
            for other in others
        }
        best = max(pairs, key=lambda name: pairs[name][1])
        expected = {
            "mx": pairs["mx"][0].mean(),
            "average": np.mean([test.mean() for test, _ in pairs.values()]),
            "best": pairs[best][0].mean(),
        }[chosen]
        value = cells.filter(pl.col("column") == target)["value"].item()
        assert value == pytest.approx(expected, abs=1e-12)


def test_rows_with_one_source_stand_beside_rows_of_all_markets(tmp_path):
    rows = [row("one", EASE, NDCG, sources="mx"), row("all", EASE, NDCG)]
    table = published(tmp_path, rows, kind="sources", columns=["de", "uk"])
    found = MEASURES["sources"](table, setting(table, DATA, tmp_path / "out", seeds=(0,))).cells
    for label, data in (("one", ["mx"]), ("all", DATA.dataset.markets)):
        for market in ("de", "uk"):
            own = restrict(DATA, [market, *(name for name in data if name != market)])
            value = found.filter(row=label, column=market)["value"].item()
            test, _ = evaluated(EASE, table.protocol, market, 0, own)
            assert value == pytest.approx(test.mean(), abs=1e-12)


def test_gains_are_changes_against_the_reference_and_average_over_markets(tmp_path):
    rows = [row("A", EASE, {"ndcg@10": [1.0, 2.0, 3.0]})]
    table = published(
        tmp_path,
        rows,
        kind="gains",
        columns=["de", "uk", "avg"],
        markets=["de", "uk", None],
        reference={"system": POPULARITY},
        percent=True,
    )
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    cells = MEASURES["gains"](table, own).cells
    found = dict(cells.select("column", "value").iter_rows())
    changes = {}
    for market in ("de", "uk"):
        before, after = (
            evaluated(system, table.protocol, market, 0)[0].mean() for system in (POPULARITY, EASE)
        )
        changes[market] = after / before - 1
        assert found[market] == pytest.approx(changes[market])
    assert found["avg"] == pytest.approx(np.mean(list(changes.values())))


def test_what_is_said_of_the_reference_of_gains_is_judged_by_levels(tmp_path):
    rows = [row("A", POPULARITY, {"ndcg@10": [None]})]
    claims = [
        {"text": "EASE helps.", "better": "EASE", "than": "A", "metric": "ndcg@10"},
        {"text": "It does not.", "better": "A", "than": "EASE", "metric": "ndcg@10"},
    ]
    table = published(
        tmp_path,
        rows,
        kind="gains",
        columns=["avg"],
        markets=[None],
        reference={"system": EASE},
        claims=claims,
    )
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    record = reproduce(table, own)
    (helps,), (hurts,) = (claim["comparisons"] for claim in record["claims"])
    levels = {
        name: [evaluated(system, table.protocol, market, 0)[0] for market in own.markets]
        for name, system in (("EASE", EASE), ("A", POPULARITY))
    }
    gains = [a.mean() - b.mean() for a, b in zip(levels["EASE"], levels["A"], strict=True)]
    assert helps["columns"] == len(own.markets)
    assert helps["ahead"] == sum(gain > 0 for gain in gains)
    assert helps["mean_gain"] == pytest.approx(np.mean(gains))
    pooled = [np.concatenate(levels[name]).mean() for name in ("EASE", "A")]
    assert helps["user_gain"] == pytest.approx(pooled[0] - pooled[1])
    assert hurts["user_gain"] == pytest.approx(-helps["user_gain"])
    (cell,) = record["rows"][0]["cells"]
    assert cell["published"] is None
    assert cell["measured"] is not None


def test_gains_with_a_source_compare_systems_with_that_source(tmp_path):
    rows = [row("mx", EASE, NDCG, sources="mx")]
    table = published(
        tmp_path, rows, kind="gains", columns=["de", "uk"], reference={"system": KNN}, percent=True
    )
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    found = dict(MEASURES["gains"](table, own).cells.select("column", "value").iter_rows())
    for market in ("de", "uk"):
        pair = restrict(DATA, [market, "mx"])
        before, after = (
            evaluated(system, table.protocol, market, 0, pair)[0].mean() for system in (KNN, EASE)
        )
        assert found[market] == pytest.approx(after / before - 1)


def test_item_groups_split_the_held_out_items_by_who_sells_them(tmp_path):
    values = {"mrr@10": [0.5, 0.5]}
    rows = [
        row("shared", EASE, values, items="shared"),
        row("own", EASE, values, items="own"),
    ]
    table = published(tmp_path, rows, kind="item-groups", protocol={"name": "loo-99"})
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    cells = MEASURES["item-groups"](table, own).cells
    comparison = own.comparison()
    hits = comparison.hits()
    sold = {
        name: set(markets().items.take(markets().catalogue(name))) for name in markets().markets
    }
    for label, _, column, _, value, error in cells.iter_rows():
        elsewhere = set.union(*(items for name, items in sold.items() if name != column))
        ranks = [
            rank
            for item, rank in hits.filter(market=column).select("item_id", "rank").iter_rows()
            if (item in elsewhere) == (label == "shared")
        ]
        found = [1 / rank if rank else 0 for rank in ranks]
        assert value == pytest.approx(np.mean(found))
        assert error == pytest.approx(np.std(found, ddof=1) / np.sqrt(len(found)))


def test_costs_count_parameters_of_the_one_market(tmp_path):
    config = {"embedding_size": 4, "epochs": 2, "markets": "target"}
    system = {"title": "LightGCN", "model": "lightgcn", "config": config}
    values = {"parameters": [100], "seconds an epoch": [1.0], "recall@10": [0.5]}
    table = published(tmp_path, [row("A", system, values)], kind="costs", columns=["uk"])
    own = setting(table, DATA, tmp_path / "out", seeds=(0,))
    measured = MEASURES["costs"](table, own)
    found = dict(measured.cells.select("metric", "value").iter_rows())
    users, items = len(markets().users("uk")), len(markets().catalogue("uk"))
    assert found["parameters"] == 4 * (users + items)
    assert found["seconds an epoch"] > 0
    assert found["recall@10"] == pytest.approx(measured.per_user["recall@10"].mean())


@pytest.mark.parametrize(("name", "data"), [("acmr-table2", "xmarket"), ("m3rec-table1", "wsdm")])
def test_the_published_sizes_are_those_of_the_files(tmp_path, name, data):
    table = load_published(name)
    record = reproduce(table, setting(table, read_data(shared_data(data)), tmp_path))
    assert {entry["verdict"] for entry in record["rows"]} == {"holds"}
    assert all(cell["agrees"] for entry in record["rows"] for cell in entry["cells"])


def test_statistics_that_the_data_cannot_answer_stay_empty(tmp_path):
    table = load_published("forec-table1")
    record = reproduce(table, setting(table, DATA, tmp_path))
    known = {entry["row"]: entry["cells"][0]["measured"] for entry in record["rows"]}
    assert known["markets"] == 3
    assert known["languages"] is None
    assert {entry["verdict"] for entry in record["rows"]} == {"cannot be compared"}


def test_data_without_the_markets_of_a_table_are_refused(tmp_path):
    table = load_published("m3rec-table2")
    with pytest.raises(UsageError, match="with the markets s2, t1, s3, t2, s1; these data have de"):
        setting(table, DATA, tmp_path)


def test_a_finished_table_is_only_read(tmp_path, monkeypatch):
    table = published(tmp_path, [row("A", POPULARITY, NDCG), row("B", EASE, NDCG)])
    own = setting(table, DATA, tmp_path / "out")
    first = reproduce(table, own)

    def refuse(*arguments, **options):
        raise AssertionError("it was fitted again")

    monkeypatch.setattr("crossmarket.experiments.compare.fit_target", refuse)
    assert reproduce(table, replace(own)) == first


def test_controls_stand_beside_tables_of_rankings_only(tmp_path):
    table = published(tmp_path, [row("A", KNN, NDCG)])
    record = reproduce(table, setting(table, DATA, tmp_path / "out"))
    assert [control["row"] for control in record["controls"]] == ["Popularity", "EASE^R single"]
    cells = {cell["column"]: cell for cell in record["controls"][0]["cells"]}
    test, _ = evaluated(POPULARITY, table.protocol, "uk", 0)
    assert cells["uk"]["measured"] == pytest.approx(test.mean())
    assert "| *Popularity, not in the paper* | measured |" in to_markdown(record)
    counts = load_published("acmr-table2")
    assert reproduce(counts, setting(counts, DATA, tmp_path / "out"))["controls"] == []
