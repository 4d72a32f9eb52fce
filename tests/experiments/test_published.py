"""The published tables: their form, and identities that a wrong digit would break."""

from functools import cache

import numpy as np
import polars as pl
import pytest
import yaml
from tests.realdata import shared_data

from crossmarket.errors import UsageError
from crossmarket.experiments.published import (
    PublishedTable,
    load_published,
    published_tables,
    read_published,
)
from crossmarket.experiments.systems import CATALOGUE, known_systems
from crossmarket.models.config import merge_values
from crossmarket.models.registry import build_model

MARKETS = ["de", "jp", "in", "fr", "ca", "mx", "uk"]
#: Printed cells of each table.
CELLS = {
    "acmr-figure3": 2 * 4,
    "acmr-table2": 4 * 8,
    "acmr-table3": 13 * 4 * 7,
    "acmr-table4": 3 * 2 * 7,
    "dcmpt-table1": 11 * 2 * 7,
    "dcmpt-table2": 6 * 7,
    "dcmpt-table3": 4 * 4,
    "forec-rerun": 7 * 7,
    "forec-table1": 8,
    "forec-table2": 3 * 8,
    "forec-table3": 24 * 2 * 7,
    "forec-table4": 9 * 8 - 7 - 1,
    "m3rec-table1": 6 * 5,
    "m3rec-table2": 10 * 3 * 5,
    "m3rec-table3": 4 * 5,
    "m3rec-table4": 4 * 5,
}

#: Columns in which a paper marks the best only.
SECOND_UNMARKED = {("acmr-table3", "recall@10", "ca"), ("acmr-table3", "ndcg@5", "de")}


@cache
def printed(name):
    """Values of a table by (row label, metric, column)."""
    frame = load_published(name).frame().drop_nulls("value")
    return {cell[1:4]: cell[4] for cell in frame.iter_rows()}


def row(name, label, metric="ndcg@10", columns=MARKETS):
    return np.array([printed(name)[label, metric, column] for column in columns])


def test_every_table_is_there():
    assert published_tables() == tuple(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_a_table_of_the_catalogue(name):
    table = load_published(name)
    assert table.name == name
    frame = table.frame().drop_nulls("value")
    assert frame.columns == ["group", "row", "metric", "column", "value"]
    assert frame.height == CELLS[name]
    assert not frame.select("row", "metric", "column").is_duplicated().any()
    assert set(frame["row"]) <= set(table.labels)
    for metric in table.metrics:
        values = frame.filter(pl.col("metric") == metric)["value"]
        low = -1 if table.kind == "gains" else 0
        assert values.is_between(low, 1).all()
    known = {"xmarket": {*MARKETS, "us"}, "wsdm": {"s1", "s2", "s3", "t1", "t2"}}[table.data]
    assert set(table.market_of.values()) <= known


@pytest.mark.parametrize("name", CELLS)
def test_every_system_can_be_built(name):
    table = load_published(name)
    systems = table.systems()
    titles = [system.title for system in systems]
    assert len(set(titles)) == len(titles)
    for system in systems:
        build_model(system.model, system.preset, system.config)
    for label, system in table.system_of.items():
        assert label in table.labels
        assert system in systems


@pytest.mark.parametrize("name", CELLS)
def test_claims_hold_on_average_in_the_printed_numbers(name):
    table = load_published(name)
    assert bool(table.claims) == (table.kind != "statistics")
    for claim in table.claims:
        columns = claim.columns or table.columns
        for other in table.beaten(claim):
            pairs = [
                (printed(name).get((claim.better, claim.metric, column)), theirs)
                for column in columns
                if (theirs := printed(name).get((other, claim.metric, column))) is not None
            ]
            if table.kind == "gains" and claim.better not in table.labels:
                better = [0.0 for _ in pairs]  # the reference, against which gains are counted
            else:
                better = [own for own, _ in pairs]
            difference = np.array(better) - np.array([theirs for _, theirs in pairs])
            sign = -1 if claim.lower else 1
            # Two sources share the largest printed gain of FOREC.
            assert (sign * difference).sum() >= 0, claim.text
            assert not pairs or difference.any() or name == "forec-table4", claim.text


def test_the_best_and_the_second_are_marked_where_they_are():
    for name in ("dcmpt-table1", "acmr-table3"):
        table = load_published(name)
        for metric in table.metrics:
            rows = [found for found in table.rows if metric in found.values]
            for column in range(len(table.columns)):
                values = [found.values[metric][column] for found in rows]
                blank = [""] * len(table.columns)
                marks = [found.marks.get(metric, blank)[column] for found in rows]
                order = np.argsort(values)[::-1]
                assert marks[order[0]] in {"best", "best *"}
                unmarked = (name, metric, table.columns[column]) in SECOND_UNMARKED
                assert marks[order[1]] == ("" if unmarked else "second")
                assert sum(mark != "" for mark in marks) == 2 - unmarked


def test_systems_are_those_of_the_catalogue_with_the_rows_settings():
    table = load_published("acmr-table3")
    found = table.system_of["MMoE"]
    assert (found.model, found.title) == ("mmoe", "MMoE")
    changed = {"tasks": "target", "negatives": "union"}
    assert found.config == merge_values(known_systems()["MMoE"].config, changed)
    assert table.system_of["NeuMF"].model == "nmf"
    # Rows that show one system with other sources, or on other items, are one system.
    assert load_published("forec-table3").system_of["Ave-Src / NMF++"] == known_systems()["NMF++"]
    assert "Fix-Src (us) / NMF++" not in load_published("forec-table3").system_of
    titles = [system.title for system in load_published("m3rec-table4").systems()]
    assert titles == ["M3Rec", "M3Rec without both"]
    assert [s.title for s in load_published("forec-table4").systems()] == ["FOREC", "MAML"]


def test_percent_becomes_fractions():
    assert printed("m3rec-table2")["M3Rec", "hit@10", "M1"] == pytest.approx(0.7313)
    assert printed("forec-table4")["uk", "ndcg@10", "jp"] == pytest.approx(0.2451)
    shared = "items shared with another market"
    assert printed("m3rec-table1")[shared, "value", "M5"] == pytest.approx(0.2742)
    assert printed("m3rec-table1")["train", "value", "M5"] == 77173
    assert ("de", "ndcg@10", "de") not in printed("forec-table4")


# Identities between published numbers.


def test_acmr_gains_over_the_second_best():
    others = [label for label in load_published("acmr-table3").labels if label != "ACMR"]
    expected = {"recall@5": 4.83, "ndcg@5": 3.87, "recall@10": 6.83, "ndcg@10": 5.34}
    for metric, gain in expected.items():
        second = np.max([row("acmr-table3", label, metric) for label in others], axis=0)
        found = 100 * (row("acmr-table3", "ACMR", metric) / second - 1).mean()
        assert round(found, 2) == gain, metric


def test_acmr_table_4_repeats_the_row_of_table_3():
    for metric in ("recall@5", "ndcg@5"):
        own = row("acmr-table4", "ACMR", metric)
        assert own.tolist() == row("acmr-table3", "ACMR", metric).tolist()


def test_acmr_table_2_adds_up():
    users, items, ratings, lengths = (
        row("acmr-table2", label, "value", [*MARKETS, "total"])
        for label in ("users", "items", "ratings", "average length")
    )
    assert users[:-1].sum() == users[-1]
    assert ratings[:-1].sum() == ratings[-1]
    assert items[:-1].max() < items[-1] < items[:-1].sum()
    assert np.round(ratings[:-1] / users[:-1], 1).tolist() == lengths[:-1].tolist()
    assert round(lengths[:-1].mean(), 1) == lengths[-1]


def test_forec_gains_over_nmf():
    expected = {"Best-Src": 21.3, "Ave-Src": 18.0, "Fix-Src (us)": 15.3}
    alone = row("forec-table3", "NMF")
    for group, gain in expected.items():
        gains = 100 * (row("forec-table3", f"{group} / FOREC") / alone - 1)
        assert round(gains.mean(), 1) == gain
        if group == "Best-Src":
            assert round(gains.max(), 1) == 45.7


def test_forec_table_4_from_table_3():
    forec, maml = (row("forec-table3", f"Fix-Src (us) / {name}") for name in ("FOREC", "MAML"))
    # Both tables are rounded: one to four digits, the other to hundredths of a percent.
    assert 100 * row("forec-table4", "us") == pytest.approx(100 * (forec / maml - 1), abs=0.015)


def test_forec_table_4_averages():
    sources = [*MARKETS, "us"]
    cells = np.array(
        [
            [printed("forec-table4").get((source, "ndcg@10", target), 0.0) for target in MARKETS]
            for source in sources
        ]
    )
    assert (cells < 0).sum() == 5
    found = dict(zip(sources, cells.sum(axis=1) / 7, strict=True))
    for source in sources:
        average = printed("forec-table4")[source, "ndcg@10", "avg"]
        # As printed; the entries of mx do not give the average printed beside them.
        expected = 0.0331 if source == "mx" else average
        assert found[source] == pytest.approx(expected, abs=1.01e-4), source
    assert cells.sum(axis=0) / 8 == pytest.approx(row("forec-table4", "avg"), abs=1.01e-4)


def test_dcmpt_tables_agree():
    full = row("dcmpt-table1", "DCMPT")
    assert row("dcmpt-table2", "DCMPT") == pytest.approx(full, abs=0.000501)
    markets = ["de", "ca", "mx", "uk"]
    alone = row("dcmpt-table1", "LightGCN", columns=markets)
    found = row("dcmpt-table2", "w/o pretrain", columns=markets)
    assert found == pytest.approx(alone, abs=0.000501)
    for label in load_published("dcmpt-table3").labels:
        quality = row("dcmpt-table3", label, "recall@10", ["uk"])
        assert quality == row("dcmpt-table1", label, "recall@10", ["uk"])


def test_m3rec_tables_agree():
    columns = [f"M{number}" for number in range(1, 6)]
    complete = row("m3rec-table3", "Complete", "mrr@10", columns)
    assert complete.tolist() == row("m3rec-table2", "M3Rec", "mrr@10", columns).tolist()


def lines(path):
    """Rows of a data file below its header."""
    return path.read_bytes().count(b"\n") - 1


def test_m3rec_table_1_counts_the_public_files():
    folder, table = shared_data("wsdm"), load_published("m3rec-table1")
    for column, market in table.market_of.items():
        train, valid, test, users = (
            printed("m3rec-table1")[label, "value", column]
            for label in ("train", "valid", "test", "users")
        )
        assert lines(folder / market / "train_5core.tsv") == train
        assert lines(folder / market / "valid_qrel.tsv") == valid + test == users


def test_acmr_table_2_counts_the_public_files():
    folder = shared_data("xmarket")
    for market in MARKETS:
        expected = printed("acmr-table2")["ratings", "value", market]
        assert lines(folder / f"{market}_5core.txt") == expected


# What the form refuses.


def spoilt(path, *changes):
    """The smallest table, with some values set."""
    table = yaml.safe_load((CATALOGUE / "tables" / "m3rec-table3.yaml").read_text("utf-8"))
    for place, value in changes:
        *parents, last = place
        part = table
        for key in parents:
            part = part[key]
        if value is None:
            del part[last]
        else:
            part[last] = value
    file = path / "own.yaml"
    file.write_text(yaml.safe_dump(table, sort_keys=False), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([(["rows", 1, "values", "mrr@10"], [1.0, 2.0])], "mrr@10: 2 cells for 5 columns"),
        ([(["rows", 1, "marks"], {"mrr@10": ["*"]})], "mrr@10: 1 cells for 5 columns"),
        ([(["rows", 1, "marks"], {"hit@10": ["*"] * 5})], "marks of hit@10"),
        ([(["rows", 1, "marks"], {"mrr@10": ["+"] * 5})], "rows.1.marks.mrr@10.0"),
        ([(["rows", 1, "values", "mrr@10", 2], "high")], "rows.1.values.mrr@10.2"),
        ([(["rows", 1, "values", "mrr@10", 2], float("nan"))], "rows.1.values.mrr@10.2"),
        ([(["rows", 1, "value"], 1)], "rows.1.value: extra inputs"),
        ([(["rows", 1, "system"], "M4Rec")], "the catalogue has no system 'M4Rec'"),
        ([(["rows", 1, "system"], None)], "either it has a system, or unmeasured"),
        ([(["rows", 1, "unmeasured"], "too slow")], "either it has a system, or unmeasured"),
        ([(["rows", 1, "items"], "own")], "items: rows of item-groups"),
        ([(["rows", 1, "title"], "Complete")], "is there twice"),
        ([(["markets"], ["s2"])], "markets: 1 for 5 columns"),
        ([(["kind"], "statistics")], "protocol: statistics have none"),
        ([(["kind"], "gains")], "reference: gains have one"),
        ([(["protocol"], {"name": "loo-98"})], "unknown protocol 'loo-98'"),
        ([(["claims", 0, "than"], "w/o it all")], "no row 'w/o it all'"),
        ([(["claims", 0, "metric"], "hit@10")], "row 'Complete' has no hit@10"),
        ([(["claims", 0, "columns"], ["M6"])], "no column 'M6'"),
        (
            [
                (["rows", 1, "unmeasured"], "x"),
                (["rows", 1, "system"], None),
                (["rows", 1, "config"], {"intra": False}),
            ],
            "config: settings of no system",
        ),
    ],
)
def test_a_faulty_table_is_refused_with_the_place(tmp_path, changes, message):
    file = spoilt(tmp_path, *changes)
    with pytest.raises(UsageError) as error:
        read_published(file)
    assert str(error.value).startswith(f"{file}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_table_of_ones_own(tmp_path):
    own = {"title": "Mine", "model": "ease", "config": {"reg": 7.0}}
    table = read_published(spoilt(tmp_path, (["rows", 1, "system"], own)))
    assert table.systems()[1].config == {"reg": 7.0}
    assert table.systems()[1].title == table.labels[1]
    assert PublishedTable.model_validate(table.model_dump()) == table


def test_files_that_are_no_table(tmp_path):
    with pytest.raises(UsageError, match="not readable YAML"):
        read_published(tmp_path / "missing.yaml")
    (tmp_path / "broken.yaml").write_text("rows: [", encoding="utf-8")
    with pytest.raises(UsageError, match="not readable YAML"):
        read_published(tmp_path / "broken.yaml")
    (tmp_path / "empty.yaml").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="the table"):
        read_published(tmp_path / "empty.yaml")


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(UsageError, match=r"no published table 'forec-table9'.*forec-table3"):
        load_published("forec-table9")
