"""Titles of items: read strictly, kept with their market, shown and never lost by a change."""

import shutil

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.artifact.making import TARGETS, make_run, packaged, sign

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.tables import TITLES, table_bytes
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError
from crossmarket.packaging.forgetting import forget
from crossmarket.packaging.package import save_pretrained
from crossmarket.packaging.titles import LONGEST, one_line, read_titles
from crossmarket.packaging.tuning import tune_market


@pytest.fixture(scope="module")
def titled(tmp_path_factory):
    """An artifact of a closed-form system with a title for every item but one."""
    place = tmp_path_factory.mktemp("titled")
    run = make_run(place / "run", "ease", {})
    items = run.data.dataset.items.ids.to_list()
    titles = {item: f"The {item}" for item in items[1:]}
    save_pretrained(run, place / "artifact", dict.fromkeys(TARGETS, titles))
    return place / "artifact", items


def write(path, rows):
    frame = pl.DataFrame(rows)
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path, separator="\t" if path.suffix == ".tsv" else ",")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_one_table_for_all_markets_or_each_its_own(tmp_path, suffix):
    both = write(tmp_path / f"a{suffix}", {"item_id": ["007", "x"], "title": ["Tea", "Cup"]})
    wanted = {"007": "Tea", "x": "Cup"}
    assert read_titles(both, ["de", "uk"]) == {"de": wanted, "uk": wanted}
    rows = {"title": ["Tee", "Tea", None], "market": ["de", "uk", "uk"], "item_id": [*"iij"]}
    own = write(tmp_path / f"b{suffix}", rows)
    wanted = {"de": {"i": "Tee"}, "uk": {"i": "Tea"}, "mx": {}}
    assert read_titles(own, ["de", "uk", "mx"]) == wanted


def test_a_quoted_title_keeps_commas_and_quotes_and_loses_line_breaks(tmp_path):
    path = tmp_path / "titles.csv"
    path.write_text('item_id,title\ni,"Tea, ""green""\n 100 g"\nj,  \n')
    assert read_titles(path, ["uk"]) == {"uk": {"i": 'Tea, "green" 100 g'}}


@given(st.text())
def test_a_title_is_one_printable_line(title):
    line = one_line(title)
    assert line.isprintable()
    assert line == line.strip() == one_line(line)
    assert len(line) <= LONGEST


def test_wrong_files_are_named(tmp_path):
    twice = write(tmp_path / "twice.csv", {"item_id": ["i", "i"], "title": ["a", "b"]})
    with pytest.raises(DataError, match="two titles of item 'i'"):
        read_titles(twice, ["uk"])
    lacks = write(tmp_path / "lacks.csv", {"item_id": ["i"], "name": ["a"]})
    with pytest.raises(DataError, match="no column 'title'"):
        read_titles(lacks, ["uk"])
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    for path in (broken, tmp_path / "none.csv", tmp_path, write(tmp_path / "ok.csv", {"a": [1]})):
        with pytest.raises(DataError):
            read_titles(path, ["uk"])


def test_lists_and_reasons_show_titles(titled):
    path, items = titled
    market = Artifact.from_pretrained(path).market("uk")
    answer = market.recommend(market.users.ids[0], k=len(items), exclude_seen=False, explain=True)
    assert len(answer.items) == len(market.catalogue)
    shown = [*answer.items, *(one for row in answer.items for one in row.why.reasons)]
    for row in shown:
        assert row.title == (None if row.item_id == items[0] else f"The {row.item_id}")
    told = answer.to_dict()["items"]
    assert [row.get("title") for row in told] == [row.title for row in answer.items]


def test_titles_do_not_change_answers_or_the_backbone(titled):
    plain = Artifact.from_pretrained(packaged("ease")[1])
    opened = Artifact.from_pretrained(titled[0])
    assert opened.backbone.hash == plain.backbone.hash
    for name in TARGETS:
        ours, theirs = opened.market(name), plain.market(name)
        assert ours.version != theirs.version
        for user in ours.users.ids:
            one, other = ours.recommend(user), theirs.recommend(user)
            assert [(row.item_id, row.score) for row in one.items] == [
                (row.item_id, row.score) for row in other.items
            ]


def test_a_forgotten_user_takes_no_title_along(titled, tmp_path):
    opened = Artifact.from_pretrained(titled[0])
    user = opened.market("mx").users.ids[0]
    assert forget(titled[0], "mx", user, tmp_path / "without").exact
    after = Artifact.from_pretrained(tmp_path / "without")
    for name in TARGETS:
        known = opened.market(name).titles_by_id
        left = after.market(name)
        assert left.titles_by_id == {item: known[item] for item in left.item_ids if item in known}


def test_a_market_that_is_tuned_further_keeps_its_titles(tmp_path):
    run, _ = packaged("dcmpt")
    titles = {item: item.upper() for item in run.data.dataset.items.ids}
    path = tmp_path / "artifact"
    save_pretrained(run, path, {"mx": titles})
    data = MarketDataset.from_frame(run.data.dataset.to_frame().filter(pl.col("market") == "mx"))
    tune_market(path, data, "mx", config={"epochs": 1})
    opened = Artifact.from_pretrained(path)
    assert opened.market("mx").titles_by_id == {
        item: item.upper() for item in opened.market("mx").item_ids
    }
    assert not opened.market("uk").titles


def test_a_title_of_no_item_is_refused_at_load(titled, tmp_path):
    for rows in ([(10_000, "a")], [(-1, "a")], [(1, "a"), (1, "b")], [(2, "a"), (1, "b")]):
        path = tmp_path / f"bad-{rows[0][0]}-{len(rows)}"
        shutil.copytree(titled[0], path)
        frame = pl.DataFrame(rows, schema=TITLES, orient="row")
        (path / "markets" / "uk" / "titles.parquet").write_bytes(table_bytes(frame))
        sign(path)
        assert "items of the market in order" in Artifact.open(path).unavailable["uk"]
