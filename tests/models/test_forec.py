"""FOREC and NMF-FOREC: what is frozen, where the head goes, what is shared between targets."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.test_nmf import mlp_vector
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.forec import Forec, ForkedNetwork, NMFForec
from crossmarket.models.maml import MAML
from crossmarket.models.nmf import NMFNetwork
from crossmarket.training.options import RunOptions

SYSTEMS = [NMFForec, Forec]
FAST = {"epochs": 2, "learning_rate": 0.05}
FROZEN = ("gmf_users", "gmf_items", "mlp_users", "mlp_items", "tower.first")


def fit(model_class, split, options, target=TARGET, valid=None, train=None, **values):
    stages = {"gmf": FAST, "mlp": FAST, "nmf": FAST, "batch_size": 64, **FAST}
    if model_class is Forec:
        stages["maml"] = FAST
    model = model_class.from_config({"embedding_size": 8, **stages, **values}, options=options)
    return model.fit(split.train if train is None else train, target=target, valid=valid)


def trunk_of(model):
    return list(model._stages.values())[-1].network


def test_the_defaults_are_the_papers():
    for model_class in SYSTEMS:
        config = model_class().config
        assert (config.reg, config.batch_size, config.learning_rate) == (1e-3, 20, 1e-2)
        assert (config.nmf.reg, config.nmf.batch_size) == (1e-7, 1024)
        assert config.sampling == "equal"


@pytest.mark.parametrize("head", [(7,), (), None])
def test_logits_are_those_of_the_equations(split, head):
    nodes = map_nodes(split.train, split.train.markets)
    torch.manual_seed(0)
    network = ForkedNetwork(NMFNetwork(nodes, 4, (6, 5, 3)), head, 1)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    net = {key: value.numpy().astype(float) for key, value in network.state_dict().items()}
    trunk = {key.removeprefix("trunk."): value for key, value in net.items()}
    users, items = torch.arange(5), torch.arange(2, 7)
    expected = []
    for u, i in zip(users.tolist(), items.tolist(), strict=True):
        z = mlp_vector(trunk, trunk["mlp_users.weight"][u], trunk["mlp_items.weight"][i])
        x = np.concatenate([z, trunk["gmf_users.weight"][u] * trunk["gmf_items.weight"][i]])
        for layer in range(0, 0 if head is None else 2 * (len(head) + 1), 2):
            x = np.maximum(net[f"head.{layer}.weight"] @ x + net[f"head.{layer}.bias"], 0)
        expected.append(trunk["output.weight"][0] @ x + trunk["output.bias"][0])
    found = network(users, items, 0).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_head_of_the_paper_is_as_wide_as_the_paper_says(split, options):
    network = fit(NMFForec, split, options, epochs=0)._fitted.network
    shapes = [tuple(layer.weight.shape) for layer in network.head if hasattr(layer, "weight")]
    assert shapes == [(32, 16), (16, 32)]
    assert network.trunk.output.weight.shape == (1, 16)


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_the_fork_starts_as_trained_and_its_lower_part_stays_so(split, options, model_class):
    start = fit(model_class, split, options, epochs=0)
    trunk = trunk_of(start).state_dict()
    loaded = start._fitted.network.trunk.state_dict()
    learned = fit(model_class, split, options)
    after = learned._fitted.network.trunk.state_dict()
    assert trunk_of(learned) is trunk_of(start)
    for name, value in trunk.items():
        assert torch.equal(loaded[name], value), name
        assert torch.equal(after[name], value) == name.startswith(FROZEN), name
    for now, before in zip(
        learned._fitted.network.head.parameters(),
        start._fitted.network.head.parameters(),
        strict=True,
    ):
        assert not torch.equal(now, before)


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_only_the_upper_layers_head_and_output_are_counted(split, options, model_class):
    model = fit(model_class, split, options)
    layers = (64 + 1) * 32 + (32 + 1) * 16 + (16 + 1) * 8
    head = (16 + 1) * 32 + (32 + 1) * 16
    assert model.num_trainable() == layers + head + 17


def test_presets_and_frozen_layers_do_what_they_say(split, options):
    def shape(**values):
        return fit(NMFForec, split, options, epochs=0, **values).num_trainable()

    whole = shape()
    assert shape(head=None) == whole - (16 + 1) * 32 - (32 + 1) * 16
    assert shape(head=[]) == shape(head=None) + (16 + 1) * 16
    assert shape(frozen_layers=2) == whole - (64 + 1) * 32
    assert shape(frozen_layers=0) == whole + (16 + 1) * 64
    assert NMFForec.from_config(preset="no-head").config.head is None
    assert Forec.from_config(preset="short-head").config.head == ()


def test_without_head_and_training_it_is_what_it_forked_from(split, options):
    users = np.arange(len(split.train.users(TARGET)))
    fork = fit(Forec, split, options, epochs=0, head=None)
    same = {"gmf": FAST, "mlp": FAST, "nmf": FAST, **FAST}
    maml = MAML.from_config({"embedding_size": 8, **same}, options=options)
    maml.fit(split.train, target=TARGET)
    np.testing.assert_array_equal(fork.score(users), maml.score(users))
    assert maml._stages["nmf"] is fork._stages["nmf"]


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_the_trunk_is_trained_once_for_all_targets(split, tmp_path, model_class):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    for target in ("aa", TARGET):
        fit(model_class, split, options, target, split.valid)
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    trunk = ["all-gmf", *(["all-maml"] if model_class is Forec else []), "all-mlp", "all-nmf"]
    assert kinds == sorted([f"aa-{model_class.name}", f"bb-{model_class.name}", *trunk])


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_sources_reach_the_target_through_the_trunk_alone(split, model_class):
    users = np.arange(len(split.train.users(TARGET)))
    source = split.train.edges("aa")
    shared = np.isin(source.items, split.train.catalogue(TARGET))
    cut = split.train.replace_edges({"aa": source.select(~shared)})

    def scores(train, **values):
        return fit(model_class, split, RunOptions(seed=3, threads=1), train=train, **values).score(
            users
        )

    assert np.abs(scores(cut) - scores(split.train)).max() > 1e-3
    # A trunk that never learned knows nothing of the source, whatever the fork learns.
    ignorant = {"gmf": None, "mlp": None, "nmf": {"epochs": 0}}
    if model_class is Forec:
        ignorant["maml"] = {"epochs": 0}
    np.testing.assert_array_equal(scores(cut, **ignorant), scores(split.train, **ignorant))


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_a_toy_is_learned_to_the_full(model_class):
    learning = {"learning_rate": 0.03, "reg": 0.0, "batch_size": 64}
    values = {**learning, "nmf": learning}
    if model_class is Forec:
        values["maml"] = {**learning, "epochs": 3}
    model, data = fit_blocks(model_class, values, epochs=20)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    untrained, _ = fit_blocks(model_class, values, epochs=0)
    assert ranked_on_top(untrained, data).mean() < 0.5


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_every_stage_is_settled(split, options, best_at_two, model_class):
    model = build_tiny(model_class, options, epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    config = model.settled().config
    stages = [config.gmf, config.mlp, config.nmf, config]
    stages += [config.maml] if model_class is Forec else []
    assert {stage.epochs for stage in stages} == {2}
