import json
import re
import shlex

import pytest
from typer.testing import CliRunner

from crossmarket.cli.data import app, parse_columns
from crossmarket.data.readers import ColumnMap, read_data
from crossmarket.errors import DataError, UsageError


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ok(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("where,user,item,stars\nuk,a,x,5\nuk,a,x,3\nde,b,x,1\nde,b,,2\nde,c,y,4\n")
    return path


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "simulation.yaml"
    path.write_text(
        "num_items: 60\nduplicate_pairs: 3\nseed: 5\n"
        "markets:\n- {name: se, users: 12, interactions_per_user: 6}\n"
    )
    return path


OPTIONS = ("--columns", "market=where,weight=stars", "--max-rejected", "0.2")


def test_describe_prints_tables_and_the_accounting(table):
    output = ok("describe", table, *OPTIONS)
    assert "5 rows read = 3 kept + 1 merged + 1 rejected (empty_id 1)" in output
    assert re.search(r"de +2 +2 +2 ", output)


def test_describe_as_json(table):
    facts = json.loads(ok("describe", table, *OPTIONS, "--json", "--min-weight", "2"))
    assert facts["markets"]["de"]["interactions"] == 1
    assert facts["accounting"]["rejected"] == {"below_min_weight": 1, "empty_id": 1}


def test_describe_draws(table, tmp_path):
    output = ok("describe", table, *OPTIONS, "--plot", tmp_path / "figures" / "a.svg")
    assert "drawn to" in output
    assert (tmp_path / "figures" / "a.svg").read_text().startswith("<?xml")


def test_convert_writes_a_store(table, tmp_path):
    output = ok("convert", table, *OPTIONS, "--out", tmp_path / "store")
    assert "1 rejected (empty_id 1)" in output
    assert "wrote 3 interactions of 2 markets" in output
    result = read_data(tmp_path / "store")
    assert result.dataset.markets == ("de", "uk")
    assert (tmp_path / "store" / "rejected.csv").read_text().count("\n") == 2


def test_convert_takes_format_and_unit(tmp_path):
    path = tmp_path / "uk.inter"
    path.write_text("user_id:token\titem_id:token\ttimestamp:float\na\tx\t5000\n")
    ok("convert", path, "--format", "recbole", "--time-unit", "ms", "--out", tmp_path / "store")
    assert read_data(tmp_path / "store").dataset.edges("uk").timestamps.tolist() == [5]


def test_simulate_writes_a_store_and_its_truth(config, tmp_path):
    ok("simulate", "--config", config, "--out", tmp_path / "a")
    ok("simulate", "--config", config, "--out", tmp_path / "b", "--seed", "5")
    ok("simulate", "--config", config, "--out", tmp_path / "c", "--seed", "6")
    first, second, third = ((tmp_path / name / "data.json").read_bytes() for name in "abc")
    assert first == second != third
    truth = json.loads((tmp_path / "a" / "truth.json").read_text())
    assert truth["config"]["seed"] == 5
    assert truth["markets"] == ["se"]
    assert read_data(tmp_path / "a").dataset.num_users == 12


@pytest.mark.parametrize("command", ["describe", "convert", "simulate"])
def test_the_example_of_each_help_works(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = " ".join(ok(command, "--help").split())
    example = re.search(r"Example: (.*)", text).group(1)
    for line in example.split("&&"):
        program, group, *arguments = shlex.split(line)
        assert (program, group) == ("crossmarket", "data")
        ok(*arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user", "write them as user=NAME"),
        ("user=a,user=b", "write them as user=NAME"),
        ("buyer=a", "roles are: market, user, item, weight, timestamp"),
        ("user=", "wrong columns: user"),
    ],
)
def test_columns_that_cannot_be_read(text, message):
    with pytest.raises(UsageError, match=message):
        parse_columns(text)


def test_columns_by_role():
    assert parse_columns("user=the buyer, item=sku") == ColumnMap(user="the buyer", item="sku")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead: 1\n", "wrong simulation: sead: Extra inputs"),
        ("markets:\n- {name: a/b, users: 1, interactions_per_user: 5}\n", r"markets\.0\.name"),
        ("- 1\n", "holds no fields"),
        ("a: [", "cannot read the configuration"),
    ],
)
def test_configurations_that_cannot_be_used(tmp_path, text, message):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    result = run("simulate", "--config", path, "--out", tmp_path / "out")
    assert isinstance(result.exception, UsageError)
    assert re.search(message, str(result.exception))
    assert "\n" not in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_errors_come_through_for_the_main_program(table, tmp_path):
    assert isinstance(run("describe", tmp_path / "none").exception, UsageError)
    assert isinstance(run("describe", table).exception, DataError)
    assert run("describe", table, "--format", "excel").exit_code == 2
