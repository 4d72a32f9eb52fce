import csv
import io
import os
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.realdata import shared_data

from crossmarket.data.accounting import RowCounts
from crossmarket.data.dataset import NO_TIME
from crossmarket.data.readers import FORMATS, ColumnMap, read_data
from crossmarket.errors import DataError, UsageError

XMARKET = {
    "ca": (4668, 5735, 44779, 888),
    "de": (1851, 2179, 17300, 653),
    "fr": (1838, 1879, 17624, 470),
    "in": (239, 470, 2015, 42),
    "jp": (487, 955, 4485, 130),
    "mx": (1878, 1645, 17095, 162),
    "uk": (3352, 3251, 31547, 673),
}


@pytest.fixture
def shared_xmarket():
    return shared_data("xmarket")


@pytest.fixture
def shared_wsdm():
    return shared_data("wsdm")


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_rows(tmp_path, *lines, header="market,user,item,rating,time", name="a.csv", **options):
    """Read lines under a header; every share of broken rows is allowed."""
    path = write(tmp_path / name, "\n".join([header, *lines]) + "\n")
    return read_data(path, **{"max_rejected": 1.0, **options})


def triples(result):
    frame = result.dataset.to_frame()
    return set(zip(frame["market"], frame["user_id"], frame["item_id"], strict=True))


def reasons(result):
    return [(line, reason) for _, line, reason, _ in result.report.rejected.rows()]


# ---------------------------------------------------------------- the public data


def test_xmarket_counts_are_those_of_the_files(shared_xmarket):
    result = read_data(shared_xmarket)
    assert result.parts is None
    assert result.report.total == RowCounts(134_845, 131_827, 3_018, {})
    assert len(result.dataset.items) == 8304
    assert result.dataset.has_timestamps
    for file, (market, facts) in zip(result.report.files, XMARKET.items(), strict=True):
        users, items, rows, merged = facts
        assert file.name == f"{market}_5core.txt"
        assert file.counts == RowCounts(rows, rows - merged, merged, {})
        assert len(result.dataset.users(market)) == users
        assert len(result.dataset.catalogue(market)) == items


def test_xmarket_merges_as_a_plain_loop_does(shared_xmarket):
    path = shared_xmarket / "in_5core.txt"
    expected = {}
    for line in path.read_text().splitlines()[1:]:
        user, item, rate, date = line.split(" ")
        day = int(np.datetime64(date, "s").astype(np.int64))
        weight, time = expected.get((user, item), (0.0, day))
        expected[user, item] = (max(weight, float(rate)), min(time, day))
    frame = read_data(path).dataset.to_frame()
    columns = (frame[name] for name in ("user_id", "item_id", "weight", "timestamp"))
    assert {(u, i): (w, t) for u, i, w, t in zip(*columns, strict=True)} == expected


def test_wsdm_gives_parts_over_shared_vocabularies(shared_wsdm):
    result = read_data(shared_wsdm)
    train, valid = result.parts["train"], result.parts["valid"]
    counts = {file.name: file.counts for file in result.report.files}
    assert counts["s2/train_5core.tsv"].read == 48_302
    assert counts["s2/train_5core.tsv"].merged == 137
    assert counts["s2/valid_qrel.tsv"] == RowCounts(7_109, 7_109, 0, {})
    assert not result.dataset.has_timestamps
    assert train.num_interactions + valid.num_interactions == result.dataset.num_interactions
    for market in ("s1", "s2", "s3", "t1", "t2"):
        for part in (train, valid):
            assert part.users(market) is result.dataset.users(market)
            assert part.catalogue(market) is result.dataset.catalogue(market)
            assert part.items is result.dataset.items
        assert len(train.edges(market)) == counts[f"{market}/train_5core.tsv"].kept


def test_one_wsdm_market_is_named_after_its_folder(shared_wsdm):
    result = read_data(shared_wsdm / "t1")
    assert result.dataset.markets == ("t1",)
    assert set(result.parts) == {"train", "valid"}


# ---------------------------------------------------------------- formats


def test_recbole_header_types_are_cut_off(tmp_path):
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float"
    write(tmp_path / "uk.inter", f"{header}\nu 1\t007\t4\t1388534400.9\n")
    write(tmp_path / "de.inter", f"{header}\nu 1\tNA\t5\t1388534400000\n")
    result = read_data(tmp_path)
    assert triples(result) == {("uk", "u 1", "007"), ("de", "u 1", "NA")}
    assert result.dataset.to_frame()["timestamp"].to_list() == [1388534400] * 2
    assert read_data(tmp_path / "uk.inter").dataset.markets == ("uk",)


def test_folder_of_tables_names_markets_by_file(tmp_path):
    write(tmp_path / "uk.csv", "user,item\na,x\n")
    write(tmp_path / "de.tsv", "user\titem\nb\tx\n")
    pl.DataFrame({"user": [1], "item": ["x"]}).write_parquet(tmp_path / "fr.parquet")
    write(tmp_path / "README.md", "not data")
    assert triples(read_data(tmp_path)) == {("uk", "a", "x"), ("de", "b", "x"), ("fr", "1", "x")}


def test_a_mapped_market_column_wins_over_file_names(tmp_path):
    write(tmp_path / "part-0.csv", "where,user,item\nuk,a,x\n")
    write(tmp_path / "part-1.csv", "where,user,item\nuk,a,x\nde,a,x\n")
    result = read_data(tmp_path, columns=ColumnMap(market="where"))
    assert triples(result) == {("uk", "a", "x"), ("de", "a", "x")}
    assert [file.counts.merged for file in result.report.files] == [0, 1]


def test_one_market_in_two_files_is_refused(tmp_path):
    write(tmp_path / "uk.csv", "user,item\na,x\n")
    write(tmp_path / "uk.tsv", "user\titem\na\tx\n")
    with pytest.raises(UsageError, match=r"market 'uk': uk\.csv, uk\.tsv"):
        read_data(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_refuses_a_folder_without_its_files(tmp_path, name):
    with pytest.raises(UsageError, match=name):
        read_data(tmp_path, format=name)


@pytest.mark.parametrize(
    "header",
    ["market,user_id,item_id", "Country,User ID,ASIN", "MARKET,userId,itemId", "market,user,item"],
)
def test_usual_column_names_are_known(tmp_path, header):
    assert triples(read_rows(tmp_path, "uk,a,x", header=header)) == {("uk", "a", "x")}


def test_mapped_columns_are_not_taken_for_other_roles(tmp_path):
    result = read_rows(
        tmp_path,
        "uk,a,buyer,x,9",
        header="market,item,user,sku,rating",
        columns=ColumnMap(user="item", item="sku"),
    )
    assert triples(result) == {("uk", "a", "x")}


def test_parquet_types(tmp_path):
    frame = pl.DataFrame(
        {
            "market": pl.Series(["uk", "uk", "uk"], dtype=pl.Categorical),
            "user": [7, 8, None],
            "item": ["x", "x", "x"],
            "rating": [3, 5, 5],
            "time": pl.Series([0, 86_400_000_000, 0]).cast(pl.Datetime("us", "Asia/Tokyo")),
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    result = read_data(tmp_path / "a.parquet", max_rejected=0.5)
    assert result.dataset.to_frame().rows() == [
        ("uk", "7", "x", 3.0, 0),
        ("uk", "8", "x", 5.0, 86_400),
    ]
    assert reasons(result) == [(3, "empty_id")]


@pytest.mark.parametrize(
    ("column", "values"),
    [("user", [1.5]), ("item", [True]), ("rating", [[1.0]]), ("time", [b"1"])],
)
def test_parquet_columns_of_a_hopeless_type_are_named(tmp_path, column, values):
    frame = pl.DataFrame({"market": ["uk"], "user": ["a"], "item": ["x"]})
    frame.with_columns(pl.Series(column, values)).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=f"column '{column}'"):
        read_data(tmp_path / "a.parquet")


# ---------------------------------------------------------------- ids

ODD_IDS = ["007", "7", "NA", "null", "nan", "None", "1e5", "12345678901234567890", "=cmd()", ".."]
ODD_IDS += ["a b", "a,b", 'say "hi"', "a/b", "é", "e\u0301", " lead", "'", "x" * 256, "日本", "\\N"]


def csv_bytes(rows, quoting=csv.QUOTE_MINIMAL):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n", quoting=quoting)
    writer.writerows([("market", "user", "item"), *rows])
    return buffer.getvalue().encode()


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_odd_ids_stay_exact(tmp_path, quoting):
    rows = {("uk", one, other) for one in ODD_IDS for other in ODD_IDS}
    result = read_data(write(tmp_path / "a.csv", csv_bytes(sorted(rows), quoting)))
    assert triples(result) == rows


ids = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\u061c\u200e\u200f\u2028"
                  "\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"),
    min_size=1,
    max_size=12,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows=st.sets(st.tuples(ids, ids, ids), min_size=1, max_size=20), all_quoted=st.booleans())
def test_any_text_id_stays_exact(tmp_path_factory, rows, all_quoted):
    path = tmp_path_factory.mktemp("ids") / "a.csv"
    write(path, csv_bytes(sorted(rows), csv.QUOTE_ALL if all_quoted else csv.QUOTE_MINIMAL))
    assert triples(read_data(path)) == rows


def test_quotes_are_plain_data_in_tsv(tmp_path):
    result = read_rows(tmp_path, 'uk\t"a\tx"', header="market\tuser\titem", name="a.tsv")
    assert triples(result) == {("uk", '"a', 'x"')}


# ---------------------------------------------------------------- broken rows


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("uk,a,x,1", "wrong_field_count"),
        ("uk,a,x,1,2,3", "wrong_field_count"),
        ('uk,"a",x', "wrong_field_count"),
        ('uk,"a,x,1,2', "bad_quote"),
        ('uk,a"b,x,1,2', "bad_quote"),
        ('uk,"a"b,x,1,2', "bad_quote"),
        ("uk,,x,1,2", "empty_id"),
        (",a,x,1,2", "empty_id"),
        ('uk,a,"",1,2', "empty_id"),
        ("uk,a," + "x" * 257 + ",1,2", "id_too_long"),
        ("uk," + "é" * 129 + ",x,1,2", "id_too_long"),
        ("uk,a\0b,x,1,2", "control_char"),
        ("uk,a\u202eb,x,1,2", "control_char"),
        ('uk,"a\tb",x,1,2', "control_char"),
        ("uk,a,x,nan,2", "bad_weight"),
        ("uk,a,x,inf,2", "bad_weight"),
        ("uk,a,x,1e400,2", "bad_weight"),
        ("uk,a,x,1e39,2", "bad_weight"),
        ("uk,a,x,-1,2", "bad_weight"),
        ("uk,a,x,five,2", "bad_weight"),
        ("uk,a,x,True,2", "bad_weight"),
        ("uk,a,x,,2", "bad_weight"),
        ('uk,a,x,"5,0",2', "bad_weight"),
        ("uk,a,x,1,soon", "bad_timestamp"),
        ("uk,a,x,1,nan", "bad_timestamp"),
        ("uk,a,x,1,2015-02-30", "bad_timestamp"),
        ("uk,a,x,1,2015-12-27T25:00", "bad_timestamp"),
        ("uk,a,x,1,1e300", "bad_timestamp"),
        ("uk,a,x,1,1451174400000000", "bad_timestamp"),
        ("uk,a,x,1," + "9" * 70_000, "line_too_long"),
    ],
)
def test_a_broken_row_is_rejected_and_its_neighbours_kept(tmp_path, line, reason):
    result = read_rows(tmp_path, "uk,u1,i1,1,1", line, "uk,u2,i2,1,1")
    assert triples(result) == {("uk", "u1", "i1"), ("uk", "u2", "i2")}
    assert reasons(result) == [(3, reason)]
    assert result.report.rejected.row(0) == ("a.csv", 3, reason, line[:200])
    assert result.report.total == RowCounts(3, 2, 0, {reason: 1})


def test_bytes_that_are_not_utf8_break_their_row_only(tmp_path):
    rows = b"market,user,item\nuk,a,x\nuk,b\xff,x\nuk,c\xed\xa0\x80,x\nuk,d,\xef\xbf\xbd\n"
    result = read_data(write(tmp_path / "a.csv", rows), max_rejected=0.5)
    assert triples(result) == {("uk", "a", "x"), ("uk", "d", "\ufffd")}
    assert reasons(result) == [(3, "bad_utf8"), (4, "bad_utf8")]


def test_bom_crlf_blank_lines_and_a_missing_last_line_end(tmp_path):
    content = b"\xef\xbb\xbfmarket,user,item\r\n\r\nuk,a,x\r\n   \r\nuk,a\r\nuk,b,x"
    result = read_data(write(tmp_path / "a.csv", content), max_rejected=0.5)
    assert triples(result) == {("uk", "a", "x"), ("uk", "b", "x")}
    assert reasons(result) == [(5, "wrong_field_count")]


def test_blocks_do_not_change_the_result(tmp_path, monkeypatch):
    rows = [f"uk,user{n % 7},item{n},1,{n}" for n in range(40)]
    rows[13] = 'uk,"broken,item,1,1'
    rows[20] = "uk,é" + "y" * 70_000 + ",item,1,1"
    whole = read_rows(tmp_path, *rows)
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr("crossmarket.data.readers.text.BLOCK_BYTES", size)
        parted = read_rows(tmp_path, *rows)
        assert parted.dataset.fingerprint == whole.dataset.fingerprint
        assert [file.sha256 for file in parted.report.files] == [
            file.sha256 for file in whole.report.files
        ]
        assert reasons(parted) == reasons(whole) == [(15, "bad_quote"), (22, "line_too_long")]
        monkeypatch.undo()


@settings(max_examples=120, deadline=None)
@given(content=st.binary(max_size=200), suffix=st.sampled_from([".csv", ".tsv", ".parquet"]))
def test_any_bytes_are_accounted_for_or_one_clear_error(tmp_path_factory, content, suffix):
    separator = b"\t" if suffix == ".tsv" else b","
    rows = [b"market", b"user", b"item\nuk", b"a", b"x\n"]
    head = b"" if suffix == ".parquet" else separator.join(rows)
    path = write(tmp_path_factory.mktemp("fuzz") / f"a{suffix}", head + content)
    try:
        total = read_data(path, max_rejected=1.0).report.total
    except DataError as error:
        assert suffix == ".parquet"
        assert str(path) in str(error)
        return
    lines = [line.removesuffix(b"\r").strip(b" ") for line in (head + content).split(b"\n")]
    assert total.read == len([line for line in lines if line]) - 1
    assert total.read == total.kept + total.merged + sum(total.rejected.values())


@settings(max_examples=80, deadline=None)
@given(
    row=st.integers(0, 9),
    position=st.integers(0, 12),
    junk=st.binary(min_size=1, max_size=6).filter(lambda junk: b"\n" not in junk),
)
def test_a_mutation_touches_its_own_row_only(tmp_path_factory, row, position, junk):
    lines = [f"uk,user{n},item{n},1,1".encode() for n in range(10)]
    lines[row] = lines[row][:position] + junk + lines[row][position + len(junk) :]
    content = b"\n".join([b"market,user,item,rating,time", *lines])
    path = write(tmp_path_factory.mktemp("mutation") / "a.csv", content)
    result = read_data(path, max_rejected=1.0)
    others = {("uk", f"user{n}", f"item{n}") for n in range(10) if n != row}
    assert others <= triples(result)
    assert {line for line, _ in reasons(result)} <= {row + 2}


# ---------------------------------------------------------------- merging, weights, times


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("mn"),
            st.sampled_from("abc"),
            st.sampled_from("xyz"),
            st.sampled_from(["0", "-0.0", "1", "2.5"]),
            st.sampled_from(["", "5", "17", "2015-12-27"]),
        ),
        min_size=1,
        max_size=30,
    ),
    random=st.randoms(use_true_random=False),
)
def test_merging_is_the_documented_rule_in_any_order(tmp_path_factory, rows, random):
    folder = tmp_path_factory.mktemp("merge")
    expected = {}
    for market, user, item, weight, time in rows:
        seconds = {"": None, "5": 5, "17": 17, "2015-12-27": 1451174400}[time]
        known = expected.setdefault((market, user, item), [0.0, None])
        known[0] = max(known[0], abs(float(weight)))
        if seconds is not None:
            known[1] = seconds if known[1] is None else min(known[1], seconds)
    result = read_rows(folder, *map(",".join, rows))
    frame = result.dataset.to_frame()
    assert {row[:3]: list(row[3:]) for row in frame.rows()} == expected
    assert result.report.total == RowCounts(len(rows), len(expected), len(rows) - len(expected))
    random.shuffle(rows)
    assert read_rows(folder, *map(",".join, rows)).dataset.fingerprint == result.dataset.fingerprint


@pytest.mark.parametrize(
    ("text", "unit", "seconds"),
    [
        ("1451174400", "auto", 1451174400),
        ("1451174400.75", "auto", 1451174400),
        ("1451174400750", "auto", 1451174400),
        ("99999999999", "auto", 99999999999),
        ("100000000000", "auto", 100000000),
        ("-1", "auto", -1),
        ("-1500", "ms", -2),
        ("5000", "ms", 5),
        ("100000000000", "s", 100000000000),
        (" 5 ", "auto", 5),
        ("2015-12-27", "auto", 1451174400),
        ("1969-12-31", "auto", -86400),
        ("2015-12-27 01:02:03", "auto", 1451178123),
        ("2015-12-27T01:02:03Z", "auto", 1451178123),
        ("2015-12-27T01:02", "auto", 1451178120),
        ("2015-12-27T01:02:03.999", "auto", 1451178123),
        ("2015-12-27T01:02:03+05:30", "auto", 1451158323),
        ("2015-12-27T01:02:03-0800", "auto", 1451206923),
        ("2015-12-27 01:02:03+00", "auto", 1451178123),
        ("", "auto", None),
    ],
)
def test_times(tmp_path, text, unit, seconds):
    result = read_rows(tmp_path, f"uk,a,x,1,{text}", time_unit=unit, max_rejected=0.0)
    assert result.dataset.to_frame()["timestamp"].to_list() == [seconds]
    assert result.dataset.edges("uk").timestamps[0] == (NO_TIME if seconds is None else seconds)


def test_times_of_mixed_kinds_in_one_column(tmp_path):
    lines = [f"uk,a,{n},1,{text}" for n, text in enumerate(["7", "", "1970-01-02", "8000"])]
    frame = read_rows(tmp_path, *lines).dataset.to_frame()
    assert frame["timestamp"].to_list() == [7, None, 86400, 8000]


def test_without_weights_and_times(tmp_path):
    result = read_rows(tmp_path, "uk,a,x", header="market,user,item")
    assert result.dataset.to_frame().rows() == [("uk", "a", "x", 1.0, None)]


def test_min_weight_is_no_fault_of_the_rows(tmp_path):
    lines = ["uk,a,x,0.7,1", "uk,b,x,0.69,1", "uk,c,x,3,1"]
    result = read_rows(tmp_path, *lines, min_weight=0.7, max_rejected=0.0)
    assert triples(result) == {("uk", "a", "x"), ("uk", "c", "x")}
    assert result.report.total == RowCounts(3, 2, 0, {"below_min_weight": 1})
    assert result.report.total.num_broken == 0


# ---------------------------------------------------------------- refusals


def test_too_many_broken_rows(tmp_path):
    lines = ["uk,a,x,1,1"] * 97 + ["uk,a,x,nan,1", "uk,a,x,1", "uk,b,x"]
    with pytest.raises(DataError) as raised:
        read_rows(tmp_path, *lines, max_rejected=0.01)
    assert re.search(
        r"3 of 100 rows of .*a\.csv are broken, .* share of 0\.01 .* wrong_field_count, first in "
        r"a\.csv line 100; .*max_rejected=0\.03",
        str(raised.value),
    )
    assert read_rows(tmp_path, *lines, max_rejected=0.03).report.total.num_rejected == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n  \n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not a text table"),
        (b"market\0,user,item\nuk,a,x\n", "is not a text table"),
        (b"market,user,item\n", "has a header but no rows"),
        (b"market,user,user,item\nuk,a,b,x\n", "more than one column named 'user'"),
        (b"market,who,item\nuk,a,x\n", r"no column for user; .*'who'.*user=NAME"),
        (b"user,item\na,x\n", r"no column for market; .*file of its own"),
        (b'market,"user,item\nuk,a,x\n', "unbalanced quote in its header"),
        (
            b"market,user,item\nuk,,x\nuk,,y\n",
            r"no row of .*a\.csv can be used.*line 2.*empty_id",
        ),
    ],
)
def test_what_is_no_table_is_one_clear_error(tmp_path, content, message):
    with pytest.raises(DataError, match=message) as raised:
        read_data(write(tmp_path / "a.csv", content), max_rejected=1.0)
    assert "\n" not in str(raised.value)


def test_a_wanted_column_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"no column 'stars' for weight; its columns are: 'market'"):
        read_rows(tmp_path, "uk,a,x,1,1", columns=ColumnMap(weight="stars"))


def test_parquet_that_is_none(tmp_path):
    with pytest.raises(DataError, match="not a readable Parquet file"):
        read_data(write(tmp_path / "a.parquet", b"PAR1 not really"))
    with pytest.raises(DataError, match="is empty"):
        read_data(write(tmp_path / "a.parquet", b""))


def test_every_market_needs_a_row(tmp_path):
    write(tmp_path / "uk.csv", "user,item,rating\na,x,5\n")
    write(tmp_path / "de.csv", "user,item,rating\na,x,1\n")
    with pytest.raises(DataError, match=r"no row of .*de\.csv can be used"):
        read_data(tmp_path, min_weight=2)
    with pytest.raises(DataError, match="leaves no row of market 'de'"):
        read_rows(tmp_path / "one", "uk,a,x,5,1", "de,a,x,1,1", min_weight=2)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(UsageError, match="does not exist"):
        read_data(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds nothing that can be read"):
        read_data(tmp_path)
    with pytest.raises(UsageError, match="holds nothing that can be read"):
        read_data(write(tmp_path / "a.pdf", b"x"))
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UsageError, match="neither a regular file nor a folder"):
        read_data(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv is not a regular file"):
        read_data(tmp_path)
    (tmp_path / "folder" / "uk.csv").mkdir(parents=True)
    with pytest.raises(DataError, match=r"uk\.csv is not a regular file"):
        read_data(tmp_path / "folder")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "uk.csv").symlink_to(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"cannot read .*uk\.csv: No such file"):
        read_data(tmp_path / "gone")


def test_a_file_name_that_is_not_utf8(tmp_path):
    write(tmp_path / os.fsdecode(b"\xff.csv"), "user,item\na,x\n")
    with pytest.raises(DataError, match="is not UTF-8"):
        read_data(tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"format": "excel"}, "no format 'excel'; choose from: store, "),
        ({"time_unit": "h"}, "no time unit 'h'"),
        ({"min_weight": float("nan")}, "min_weight"),
        ({"min_weight": -1}, "min_weight"),
        ({"max_rejected": 1.5}, "max_rejected"),
    ],
)
def test_options_out_of_range(tmp_path, options, message):
    with pytest.raises(UsageError, match=message):
        read_rows(tmp_path, "uk,a,x,1,1", **options)


def test_counts_that_do_not_add_up_are_a_programming_error():
    with pytest.raises(ValueError, match="do not add up"):
        RowCounts(3, 1, 1, {"empty_id": 2})
    assert str(RowCounts(3, 1, 1, {"empty_id": 1})) == (
        "3 rows read = 1 kept + 1 merged + 1 rejected (empty_id 1)"
    )
