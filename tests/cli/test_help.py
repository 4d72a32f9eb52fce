"""Every help text ends with an example, and the examples work as they stand."""

import re
import shlex
from functools import partial

import pytest
import torch
from tests.commands import ok, refused, run
from tests.small import SIMULATION, TINY, write_yaml

from crossmarket.data.simulate import SimulationConfig
from crossmarket.models.config import merge_values
from crossmarket.models.registry import MODELS

#: Every command, in an order in which each example finds what it needs.
COMMANDS = [
    "data simulate",
    "data describe",
    "data convert",
    "data split",
    "models",
    "fit",
    "evaluate",
    "recommend",
    "check",
    "package",
    "export",
    "forget",
    "report",
    "compare",
    "tune",
    "analyse",
    "reproduce",
    "leaderboard",
    "demo",
    "serve",
]

EXPERIMENT = {
    "name": "Example",
    "data": "markets",
    "reference": "Popularity",
    "systems": [{"title": name.title(), "model": name} for name in ("popularity", "item-knn")],
}
PLAN = {
    "name": "Example",
    "data": "markets",
    "trials": 2,
    "seconds": 60,
    "systems": ["Popularity", "Item kNN"],
}


def listed(text):
    """Commands that a help text lists."""
    return re.findall(r"^  (\w+) ", text.split("Commands:")[1], flags=re.MULTILINE)


def example(command):
    """The example in the last line of a command's help, as a list of commands."""
    *_, last = ok(*command.split(), "--help").out.splitlines()
    indent, _, shown = last.partition("Example: ")
    assert indent.strip() == ""
    return [shlex.split(part) for part in shown.split(" && ")]


def test_all_commands_are_known_here():
    top = listed(ok("--help").out)
    found = [name for name in top if name != "data"]
    found += [f"data {name}" for name in listed(ok("data", "--help").out)]
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize("group", [(), ("data",)])
def test_a_group_alone_shows_its_help(group):
    shown = run(*group)
    assert shown.code == 2
    assert shown.err.strip() == ok(*group, "--help").out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_each_option_does(command):
    text = ok(*command.split(), "--help").out
    assert text.startswith(f"Usage: crossmarket {command}")
    options = re.findall(r"^  (-{1,2}[\w-]+.*?)(?=^  -|\n\n)", text, flags=re.DOTALL | re.MULTILINE)
    assert options
    assert all(re.search(r"\s{2,}\S", option) for option in options)


@pytest.fixture
def quick(tmp_path, monkeypatch):
    """An empty working folder, a demo of small markets, and presets that learn in no time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    # Examples ask for the usual two threads, which wait for each other on a busy machine.
    torch.set_num_threads(1)
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    small = partial(SimulationConfig, **SIMULATION)
    monkeypatch.setattr("crossmarket.experiments.demo.SimulationConfig", small)
    for name in ("dcmpt", "fine-tuned"):
        fields = MODELS[name].config_class.model_fields
        tiny = {field: value for field, value in TINY.items() if field in fields}
        presets = {
            preset: merge_values(values, tiny) for preset, values in MODELS[name].presets.items()
        }
        monkeypatch.setattr(MODELS[name], "presets", presets)
    return tmp_path


def test_the_examples_work_one_after_the_other(quick):
    write_yaml(quick / "experiment.yaml", EXPERIMENT)
    write_yaml(quick / "plan.yaml", PLAN)
    for command in COMMANDS[:-2]:  # the demo and the service have tests of their own
        steps = example(command)
        assert steps[-1][: len(command.split()) + 1] == ["crossmarket", *command.split()]
        for program, *arguments in steps:
            assert program == "crossmarket"
            ok(*arguments)
    made = {path.name for path in quick.iterdir()}
    assert made >= {"markets", "markets.svg", "copy", "markets-split", "run", "comparison"}


def test_demo_tells_a_table_two_lists_and_the_places(quick):
    ((program, *arguments),) = example("demo")
    assert (program, arguments[0]) == ("crossmarket", "demo")
    shown = ok(*arguments)
    assert "simulated " in shown.out
    assert len(re.findall("top 10 for user", shown.out)) == 2
    for place in ("runs/demo/data", "runs/demo/run", "runs/demo/comparison/table.md"):
        assert place in shown.out
        assert (quick / place).exists()
    titles = ("Popularity", "Item kNN", "Frozen backbone", "DCMPT")
    assert all(title in shown.out for title in titles)
    # The second time there is nothing left to compute.
    assert ok(*arguments).out == shown.out
    assert "is a run of other data" in refused(*arguments, "--seed", 6, code=2)
