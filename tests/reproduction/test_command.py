import json

import pytest
from tests.commands import ok, refused, run, tree
from tests.small import store

from crossmarket.experiments.published import published_tables
from crossmarket.experiments.systems import known_systems
from crossmarket.reproduction.plan import expected_seconds, known_seconds


def test_all_tables_are_listed():
    lines = ok("reproduce").out.splitlines()
    assert [line.split()[0] for line in lines] == list(published_tables())


def test_a_dry_run_says_what_would_run_and_writes_nothing(tmp_path):
    store(tmp_path / "data")
    result = ok(
        "reproduce",
        "dcmpt-table2",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "lab",
        "--seeds",
        "0,1",
        "--dry-run",
    )
    assert "DCMPT, seed 0: about " in result.out
    assert "w/o WRD, seed 1: about " in result.out
    assert result.out.splitlines()[-1].startswith("together about ")
    assert not (tmp_path / "lab").exists()


def test_tables_of_sources_say_how_often_they_train(tmp_path):
    store(tmp_path / "data")
    result = ok(
        "reproduce",
        "forec-table3",
        "--data",
        tmp_path / "data",
        "--out",
        tmp_path / "lab",
        "--dry-run",
    )
    assert "NMF, seed 0: about " in result.out
    assert "FOREC, seed 0, 6 trainings: about " in result.out


def test_a_table_is_written_as_page_values_and_record(tmp_path):
    store(tmp_path / "data")
    arguments = ["reproduce", "acmr-table2", "--data", tmp_path / "data", "--out", tmp_path / "lab"]
    page = ok(*arguments).out
    files = tree(tmp_path / "lab" / "published")
    assert sorted(files) == [f"acmr-table2.{suffix}" for suffix in ("csv", "json", "md")]
    record = json.loads((tmp_path / "lab" / "published" / "acmr-table2.json").read_text())
    assert page.strip() == (tmp_path / "lab" / "published" / "acmr-table2.md").read_text().strip()
    shown = {
        row["row"]: {c["column"]: c["measured"] for c in row["cells"]} for row in record["rows"]
    }
    assert shown["users"]["uk"] == 24
    assert shown["users"]["ca"] is None
    assert "| users | published | 4,668 |" in page
    assert ok(*arguments, "--json").json() == record


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tabel"], "there is no published table 'tabel'; choose from: acmr-figure3"),
        (["acmr-table2"], "acmr-table2 needs --data DATA (the public xmarket) and --out FOLDER"),
        (["acmr-table2", "--data", "nowhere", "--out", "lab"], "nowhere"),
        (
            ["acmr-table2", "--data", "{data}", "--out", "lab", "--seeds", "a"],
            "cannot read --seeds",
        ),
        (
            ["acmr-table2", "--data", "{data}", "--out", "lab", "--seeds", ","],
            "cannot read --seeds",
        ),
        (
            ["acmr-table2", "--data", "{data}", "--out", "lab", "--seeds", "1,01"],
            "--seeds '1,01' has a seed twice",
        ),
    ],
)
def test_wrong_use_is_one_sentence(tmp_path, arguments, message):
    data = store(tmp_path / "data")
    filled = [part.format(data=data) for part in arguments]
    assert message in refused("reproduce", *filled)


def test_expected_seconds_scale_with_the_data():
    base, _ = known_seconds()
    for system in known_systems().values():
        whole = expected_seconds(system, int(base))
        assert whole > 0
        assert expected_seconds(system, int(2 * base)) == pytest.approx(2 * whole)


def test_progress_tells_the_time_left(tmp_path):
    store(tmp_path / "data")
    (tmp_path / "lab").mkdir()
    result = run("reproduce", "acmr-table2", "--data", tmp_path / "data", "--out", tmp_path / "lab")
    assert result.code == 0
    assert "wrote" in result.err
