"""GMF, MLP and NMF: their equations by hand, their pre-training, their transfer."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.gmf import GMF, GMFNetwork
from crossmarket.models.mlp import MLP, MLPNetwork
from crossmarket.models.nmf import NMF, NMFNetwork
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

SYSTEMS = [GMF, MLP, NMF]
LEARNING = {"learning_rate": 0.01, "reg": 0.0, "batch_size": 64}
EPOCHS = {GMF: 100, MLP: 200, NMF: 60}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gmf_logit(net, u, i):
    p, q = net["users.weight"][u], net["items.weight"][i]
    return net["output.weight"][0] @ (p * q) + net["output.bias"][0]


def mlp_vector(net, p, q):
    z = np.concatenate([p, q])
    z = np.maximum(net["tower.first.weight"] @ z + net["tower.first.bias"], 0)
    for layer in range(sum(name.endswith("weight") for name in net if "rest" in name)):
        weight, bias = net[f"tower.rest.{layer}.weight"], net[f"tower.rest.{layer}.bias"]
        z = np.maximum(weight @ z + bias, 0)
    return z


def mlp_logit(net, u, i):
    z = mlp_vector(net, net["users.weight"][u], net["items.weight"][i])
    return net["output.weight"][0] @ z + net["output.bias"][0]


def nmf_logit(net, u, i):
    z = mlp_vector(net, net["mlp_users.weight"][u], net["mlp_items.weight"][i])
    gmf = net["gmf_users.weight"][u] * net["gmf_items.weight"][i]
    return net["output.weight"][0] @ np.concatenate([z, gmf]) + net["output.bias"][0]


NETWORKS = {
    "gmf": (lambda nodes: GMFNetwork(nodes, 4), gmf_logit),
    "mlp": (lambda nodes: MLPNetwork(nodes, 4, (6, 5, 3)), mlp_logit),
    "nmf": (lambda nodes: NMFNetwork(nodes, 4, (6, 5, 3)), nmf_logit),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_loss_are_those_of_the_equations(split, name):
    nodes = map_nodes(split.train, split.train.markets)
    build, logit = NETWORKS[name]
    torch.manual_seed(0)
    network = build(nodes)
    for parameter in network.parameters():  # small tables would hide a mistake
        torch.nn.init.normal_(parameter, std=0.7)
    net = {key: value.numpy().astype(float) for key, value in network.state_dict().items()}
    sampler = ExampleSampler(PositiveSampler(split.train, nodes), 2)
    examples = next(sampler.batches(45, np.random.default_rng(0)))
    logits = [
        logit(net, u, i)
        for u, i in zip(examples.users.tolist(), examples.items.tolist(), strict=True)
    ]
    np.testing.assert_allclose(network.logits(examples).detach(), logits, rtol=1e-4, atol=1e-5)
    y, p = examples.labels.numpy(), sigmoid(np.array(logits))
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert network.losses(examples)["loss"].item() == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_a_toy_is_learned_to_the_full(tmp_path, model_class):
    model, data = fit_blocks(model_class, LEARNING, epochs=EPOCHS[model_class], workspace=tmp_path)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    untrained, _ = fit_blocks(
        model_class,
        {**LEARNING, "gmf": None, "mlp": None} if model_class is NMF else LEARNING,
        epochs=0,
    )
    assert ranked_on_top(untrained, data).mean() < 0.5


def fit(model_class, split, options, train=None, **values):
    model = build_tiny(model_class, options, values=values, learning_rate=0.05)
    train = split.train if train is None else train
    return model.fit(train, target=TARGET, valid=None)


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_cutting_the_source_or_its_shared_items_changes_the_target(split, options, model_class):
    users = np.arange(len(split.train.users(TARGET)))
    whole = fit(model_class, split, options).score(users)
    source = split.train.edges("aa")
    shared = np.isin(source.items, split.train.catalogue(TARGET))
    assert shared.any()
    without = split.train.replace_edges({"aa": source.select(~shared)})
    for train in (without, split.train.select_markets(["bb", "cc"])):
        fresh = RunOptions(seed=3, threads=1)
        cut = fit(model_class, split, fresh, train).score(users)
        assert np.abs(cut - whole).max() > 1e-3


def test_an_mlp_starts_from_the_tables_of_its_gmf(split, options):
    model = fit(MLP, split, options, epochs=0, gmf={"epochs": 2, "learning_rate": 0.05})
    gmf, mlp = model._gmf.network, model._fitted.network
    assert torch.equal(mlp.users.weight, gmf.users.weight)
    assert torch.equal(mlp.items.weight, gmf.items.weight)


def test_an_nmf_starts_from_both_with_half_of_each_output(split, options):
    stage = {"epochs": 2, "learning_rate": 0.05}
    model = fit(NMF, split, options, epochs=0, gmf=stage, mlp=stage)
    gmf, mlp, nmf = (getattr(model._stages, name).network for name in ("gmf", "mlp", "nmf"))
    assert torch.equal(nmf.gmf_users.weight, gmf.users.weight)
    assert torch.equal(nmf.mlp_items.weight, mlp.items.weight)
    assert torch.equal(nmf.tower.first.weight, mlp.tower.first.weight)
    assert torch.equal(nmf.tower.first.bias, mlp.tower.first.bias)
    halves = torch.cat([mlp.output.weight, gmf.output.weight], dim=1) / 2
    assert torch.equal(nmf.output.weight, halves)
    users, items = torch.arange(5), torch.arange(5)
    mean = (gmf(users, items, 0) + mlp(users, items, 0)) / 2
    torch.testing.assert_close(nmf(users, items, 0), mean)


def test_pre_training_is_shared_between_systems_and_targets(split, tmp_path):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    stage = {"epochs": 2, "learning_rate": 0.05}
    for target in ("aa", TARGET):
        model = build_tiny(NMF, options, values={"gmf": stage, "mlp": stage})
        model.fit(split.train, target=target, valid=split.valid)
        # Equal settings: these are the very stages that the NMF starts from.
        gmf = build_tiny(GMF, options, values=stage)
        gmf.fit(split.train, target=target, valid=split.valid)
        mlp = build_tiny(MLP, options, values={**stage, "gmf": stage})
        mlp.fit(split.train, target=target, valid=split.valid)
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert kinds == ["all-gmf", "all-mlp", "all-nmf"]


def test_a_single_market_version_is_trained_for_each_target(split, tmp_path):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    for target in ("aa", TARGET):
        model = build_tiny(GMF, options, preset="single")
        model.fit(split.train, target=target, valid=split.valid)
    assert sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir()) == [
        "aa-gmf",
        "bb-gmf",
    ]


def test_every_stage_is_settled(split, options, best_at_two):
    model = build_tiny(NMF, options, epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    config = model.settled().config
    assert (config.epochs, config.gmf.epochs, config.mlp.epochs) == (2, 2, 2)
