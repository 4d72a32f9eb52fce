"""The package of the documentation: installed, run as a user runs it, held to the contract."""

import json
import sys

import numpy as np
import pytest
from tests.commands import ok, refused
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.packages import install_example, run_with
from tests.small import store, write_yaml
from tests.toys import TARGET

from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model, find_model
from crossmarket.training.options import RunOptions

EXPERIMENT = {
    "name": "Example",
    "data": "markets",
    "targets": ["mx"],
    "threads": 1,
    "reference": "Popularity",
    "systems": [
        {"title": "Popularity", "model": "popularity"},
        {"title": "Biased MF", "model": "biased-mf", "config": {"epochs": 1}},
    ],
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    return install_example(tmp_path_factory.mktemp("example") / "site-packages")


@pytest.fixture
def model_class(installed, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(installed)
    return find_model("biased-mf")


# -- from the command line ----------------------------------------------------------------------


def test_it_is_listed_fitted_and_compared_beside_the_built_in_systems(installed, tmp_path):
    def crossmarket(*arguments):
        done = run_with(installed, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done
        return done.stdout

    store(tmp_path / "markets")
    listed = json.loads(crossmarket("models", "--json"))
    assert listed["broken"] == []
    assert listed["systems"][-1]["name"] == "biased-mf"
    assert listed["systems"][-1]["package"] == "biased-mf 0.1.0"

    fit = ["fit", "--data", "markets", "--targets", "mx", "--out", "run", "--threads", 1]
    assert "trainable" in crossmarket(*fit, "--model", "biased-mf", "--set", "epochs=1")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["versions"]["biased-mf"] == "0.1.0"
    stages = tmp_path / "run" / "ratio-full" / "stages"
    assert [path.name for path in stages.iterdir()] == ["biased-mf-0.1.0"]
    assert "stage all-biased-mf-" in ok("check", tmp_path / "run").out

    write_yaml(tmp_path / "experiment.yaml", EXPERIMENT)
    crossmarket("compare", "experiment.yaml", "--out", "out")
    table = json.loads((tmp_path / "out" / "table.json").read_text())
    assert [row["model"] for row in table["systems"]] == ["popularity", "biased-mf"]
    assert table["versions"]["biased-mf"] == "0.1.0"
    results = [json.loads(path.read_text()) for path in (tmp_path / "out/results").glob("*.json")]
    named = {result["key"]["model"]: result["key"]["versions"] for result in results}
    assert named["biased-mf"] == {**named["popularity"], "biased-mf": "0.1.0"}


def test_without_its_package_a_system_is_not_there():
    said = refused("models", "biased-mf", code=2)
    assert said.startswith("there is no model 'biased-mf'; choose from: dcmpt, ")


# -- the contract -------------------------------------------------------------------------------


def fitted(data, values=None, *, preset=None, seed=3):
    settings = {"epochs": 3, "batch_size": 64, "embedding_size": 8, **(values or {})}
    options = RunOptions(seed=seed, threads=1)
    return build_model("biased-mf", preset, settings, options).fit(data, target=TARGET)


def test_every_setting_and_preset_is_explained(model_class):
    assert issubclass(model_class, Recommender)
    for name, field in model_class.config_class.model_fields.items():
        assert field.description, name
    for preset in model_class.presets:
        assert model_class.from_config(preset=preset).get_config()["epochs"] == 30


def test_it_learns_the_training_data(model_class):
    model, data = fit_blocks(model_class, {"batch_size": 512}, epochs=200)
    assert hits_at_one(model, data) == 1
    assert ranked_on_top(model, data).mean() > 0.9


def test_scores_are_the_formula(model_class, split):
    model = fitted(split.train)
    network, nodes = model._fitted.network, model._nodes
    users, items = np.array([0, 5, 2]), split.train.catalogue(TARGET)[[4, 1, 9, 0]]
    p = network.users.weight.detach().numpy()[nodes.user_nodes(TARGET, users)]
    places = nodes.item_nodes(items) - nodes.num_users
    own = nodes.markets.index(TARGET) * len(nodes.items) + places
    bias = network.bias.weight.detach().numpy()[places, 0]
    market_bias = network.market_bias.weight.detach().numpy()[own, 0]
    q = network.items.weight.detach().numpy()[places]
    assert np.abs(market_bias).min() > 0
    np.testing.assert_allclose(
        model.score(users, items), p @ q.T + bias + market_bias, rtol=1e-5, atol=1e-6
    )
    lists = np.tile(items, (3, 1))
    np.testing.assert_allclose(model.score_lists(users, lists), model.score(users, items), 1e-5)
    assert np.isfinite(model.score(np.arange(len(split.train.users(TARGET))))).all()


def test_other_markets_teach_through_shared_items_unless_told_not_to(model_class, split):
    users = np.arange(len(split.train.users(TARGET)))
    edges = split.train.edges("aa")
    shared = np.isin(edges.items, split.train.catalogue(TARGET))
    cut = split.train.replace_edges({"aa": edges.select(~shared)})

    def differs(preset):
        return not np.allclose(
            fitted(split.train, preset=preset).score(users),
            fitted(cut, preset=preset).score(users),
            rtol=1e-4,
        )

    assert differs("default")
    assert not differs("single")


def test_the_ablation_takes_the_market_biases_away(model_class, split):
    whole = fitted(split.train)
    without = fitted(split.train, preset="no-market-bias")
    catalogues = sum(len(split.train.items) for _ in split.train.markets)
    assert whole.num_trainable() - without.num_trainable() == catalogues
    assert without._fitted.network.market_bias is None


def test_the_same_seed_gives_the_same_bytes(model_class, split):
    users = np.arange(6)
    first, again = (fitted(split.train).score(users).tobytes() for _ in range(2))
    assert first == again
    assert first != fitted(split.train, seed=4).score(users).tobytes()
