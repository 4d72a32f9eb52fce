"""`models`: what is listed of every system and every setting of one."""

import pytest
from tests.commands import ok, refused
from tests.packages import install

from crossmarket.models.facts import trainable_counts
from crossmarket.models.registry import MODELS, build_model

BROKEN = "raise ValueError('no good')"


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")


@pytest.fixture
def plugged(tmp_path, monkeypatch, wide):
    """One package with a system that works, one with a system that does not."""
    text = (
        "from crossmarket.models.popularity import Popularity\n"
        "class Own(Popularity):\n    name = 'own-popularity'\n    paper = 'mine'\n"
    )
    folder = tmp_path / "site-packages"
    install(folder, "mine", {"own-popularity": "listed_own:Own"}, {"listed_own": text})
    install(folder, "theirs", {"their-system": "listed_broken:Own"}, {"listed_broken": BROKEN})
    monkeypatch.syspath_prepend(folder)


def row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f" {name} ")]
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def shown_count(name):
    """A system that nobody has counted yet shows a dash."""
    counts = trainable_counts()
    return f"{counts[name]:,}" if name in counts else "-"


def test_every_system_is_listed(wide):
    shown = ok("models").out
    for name, model in MODELS.items():
        found = row(shown, name)
        assert found[:2] == [name, model.paper]
        assert found[2] == shown_count(name)
        assert f"{model.family}:" in shown
    assert row(shown, "popularity") == [
        *("popularity", "control", "0", "sources, fold-in, cold users"),
    ]
    assert row(shown, "dcmpt")[-2:] == [
        "sources, fold-in",
        f"default, paper, no-pretrain, random-frozen and {len(MODELS['dcmpt'].presets) - 4} more",
    ]
    assert row(shown, "gmf")[-1] == "single, ++"


def test_a_narrow_terminal_cuts_no_name(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = ok("models").out
    assert all(row(shown, name) for name in MODELS)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 81


def test_the_list_for_programs():
    found = ok("models", "--json").json()
    assert found["broken"] == []
    assert [entry["name"] for entry in found["systems"]] == list(MODELS)
    by_name = {entry["name"]: entry for entry in found["systems"]}
    assert by_name["ease"] == {
        "name": "ease",
        "summary": MODELS["ease"].summary,
        "paper": "Steck 2019",
        "family": "single or merged",
        "trainable": 0,
        "supports": ["sources", "fold-in"],
        "presets": list(MODELS["ease"].presets),
        "package": "crossmarket",
    }
    assert by_name["dcmpt"]["presets"] == list(MODELS["dcmpt"].presets)


def test_systems_of_other_packages_are_listed_and_broken_ones_noted(plugged):
    shown = ok("models")
    assert row(shown.out, "own-popularity") == [
        *("own-popularity", "mine", "-", "sources, fold-in, cold users"),
    ]
    assert "their-system" not in shown.out
    (note,) = shown.err.splitlines()
    assert note.startswith("note: system 'their-system' of package theirs 1.0 cannot be imported")
    assert note.endswith("ValueError: no good")
    found = ok("models", "--json").json()
    assert found["systems"][-1]["package"] == "mine 1.0"
    assert found["systems"][-1]["trainable"] is None
    assert [f"note: {sentence}" for sentence in found["broken"]] == [note]
    assert refused("models", "their-system", code=2) == found["broken"][0]
    assert "package: mine 1.0" in ok("models", "own-popularity").out


def test_one_system_is_shown_with_every_setting(wide):
    shown = ok("models", "decayed-popularity").out
    for line in (
        "decayed-popularity: training count with exponential decay of old interactions",
        "paper: control; family: control",
        "package: crossmarket",
        "trainable for XMarket uk: 0",
        "supports: sources, fold-in, cold users",
        "presets: -",
        "settings:",
    ):
        assert line in shown.splitlines()
    assert row(shown, "half_life") == [
        *("half_life", "120.0", "Days after which an interaction counts half", "control"),
    ]


def test_settings_start_from_the_default_preset_or_the_named_one(wide):
    shown = ok("models", "dcmpt").out
    assert "settings of preset default:" in shown
    assert row(shown, "backbone.loss")[1] == "softmax"
    shown = ok("models", "dcmpt", "--preset", "paper").out
    assert "settings of preset paper:" in shown
    assert row(shown, "backbone.loss")[1] == "bpr"


@pytest.mark.parametrize("preset", [None, "paper-no-prompt"])
def test_one_system_for_programs(preset):
    options = [] if preset is None else ["--preset", preset]
    found = ok("models", "dcmpt", *options, "--json").json()
    assert found["name"] == "dcmpt"
    assert found["preset"] == (preset or "default")
    values = {entry["field"]: entry["value"] for entry in found["config"]}
    config = build_model("dcmpt", preset).get_config()
    assert values["backbone.embedding_size"] == config["backbone"]["embedding_size"]
    assert values["prompt"] == config["prompt"]
    (width,) = [entry for entry in found["config"] if entry["field"] == "backbone.embedding_size"]
    assert (width["meaning"], width["source"]) == ("Width of a vector", "DCMPT, 64")


def test_what_is_not_there_is_refused_in_one_sentence():
    assert refused("models", "bert", code=2).startswith("there is no model 'bert'; choose from: ")
    assert "has no preset 'fancy'; it has: " in refused("models", "gmf", "--preset", "fancy")
    assert "needs the name of a system" in refused("models", "--preset", "paper", code=2)
