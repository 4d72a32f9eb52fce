"""Lists as files: the same as single answers, and nothing that a spreadsheet runs."""

import csv
import io

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.artifact.making import packaged, write_by_hand

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.exporting import SCHEMA, guarded, lists, unguarded, write_lists
from crossmarket.errors import DataError

ODD = ["=cmd()", " =1+1", "\u00a0@x", "-5", "'=x", "''=x", "007", "NA", "a,b", 'q"q', "plain", "é"]


@pytest.mark.parametrize("label", ["dcmpt", "item-knn", "popularity"])
@pytest.mark.parametrize("seen", [True, False])
def test_a_whole_market_gets_the_answers_that_single_users_get(label, seen):
    market = Artifact.from_pretrained(packaged(label)[1]).market("uk")
    table = lists(market, k=6, exclude_seen=seen)
    assert dict(table.schema) == SCHEMA
    rows = []
    for user in market.users.ids:
        answer = market.recommend(user, k=6, exclude_seen=seen)
        rows += [
            ("uk", user, row.item_id, row.score, row.rank, row.strategy) for row in answer.items
        ]
    assert table.rows() == rows


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "artifact"
    write_by_hand(folder, ODD, ODD, [[number] for number in range(len(ODD))])
    return lists(Artifact.from_pretrained(folder).market("xx"), k=3)


def test_parquet_and_raw_csv_hold_the_table(odd, tmp_path):
    write_lists(odd, tmp_path / "lists.parquet", "parquet")
    assert pl.read_parquet(tmp_path / "lists.parquet").equals(odd)
    write_lists(odd, tmp_path / "lists.csv", "csv", guard=False)
    assert pl.read_csv(tmp_path / "lists.csv", schema=SCHEMA).equals(odd)


def test_no_cell_of_a_csv_starts_a_formula_and_every_id_comes_back(odd, tmp_path):
    write_lists(odd, tmp_path / "lists.csv", "csv")
    content = (tmp_path / "lists.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(content)))
    for column in ("user_id", "item_id"):
        cells = [row[column] for row in rows]
        assert not [cell for cell in cells if cell.strip()[:1] in tuple("=+-@")]
        assert [unguarded(cell) for cell in cells] == odd[column].to_list()
    assert "'=cmd()" in {row["user_id"] for row in rows}
    assert "plain" in {row["user_id"] for row in rows}


@given(st.text() | st.text(alphabet="'=+-@ \t\r\n\u00a0a"))
def test_guarding_is_undone_exactly_and_covers_every_line(cell):
    safe = guarded(cell)
    assert unguarded(safe) == cell
    assert safe in (cell, f"'{cell}")
    assert safe.lstrip()[:1] not in tuple("=+-@") or not safe.lstrip()
    assert safe[:1] not in ("\t", "\r")


@given(st.lists(st.text(alphabet="'=+-@ \ta"), min_size=2, max_size=2, unique=True))
def test_two_ids_never_become_one(cells):
    assert len({guarded(cell) for cell in cells}) == 2


def test_a_trec_run_is_in_order_and_refuses_blanks(odd, tmp_path):
    market = Artifact.from_pretrained(packaged("dcmpt")[1]).market("mx")
    table = lists(market, k=4)
    write_lists(table, tmp_path / "lists.run", "trec")
    lines = [line.split(" ") for line in (tmp_path / "lists.run").read_text().splitlines()]
    assert [(line[0], line[2], int(line[3])) for line in lines] == list(
        table.select("user_id", "item_id", "rank").iter_rows()
    )
    assert {(line[1], line[5]) for line in lines} == {("Q0", "crossmarket-mx")}
    assert [pytest.approx(float(line[4])) for line in lines] == table["score"].to_list()
    with pytest.raises(DataError, match="has blanks, which TREC cannot hold"):
        write_lists(odd, tmp_path / "odd.run", "trec")
    assert not (tmp_path / "odd.run").exists()
