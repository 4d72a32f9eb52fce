"""MAML: the meta-gradient against whole tables, its start, its batches, adaptation at test."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.toys import TARGET, build_tiny
from torch.func import functional_call
from torch.nn import functional as F

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models import maml
from crossmarket.models.maml import MAML
from crossmarket.models.meta_learning import meta_loss
from crossmarket.models.nmf import NMF, NMFNetwork
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

FAST = {"epochs": 2, "learning_rate": 0.05}


def drawn(nodes, hidden=(6, 5, 3)):
    torch.manual_seed(0)
    network = NMFNetwork(nodes, 4, hidden)
    for parameter in network.parameters():  # small tables would hide a mistake
        torch.nn.init.normal_(parameter, std=0.7)
    return network


def examples_of(train, nodes, positives, negatives=2):
    sampler = ExampleSampler(PositiveSampler(train, nodes), negatives, sampling="equal")
    size = positives * (1 + negatives) * len(nodes.markets)
    return next(sampler.batches(size, np.random.default_rng(0)))


def whole_table_loss(network, examples, rate):
    """The definition: every market moves all parameters, one market after the other."""
    theta, losses = dict(network.named_parameters()), []

    def loss(parameters, rows):
        users, items = examples.users[rows], examples.items[rows]
        logits = functional_call(network, parameters, (users, items, 0))
        return F.binary_cross_entropy_with_logits(logits, examples.labels[rows])

    for start, end, _ in examples.runs:
        middle = (start + end) // 2
        before = loss(theta, slice(start, middle))
        slopes = torch.autograd.grad(before, list(theta.values()), create_graph=True)
        moved = {
            name: value - rate * slope
            for (name, value), slope in zip(theta.items(), slopes, strict=True)
        }
        losses.append(loss(moved, slice(middle, end)))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("hidden", [(6, 5, 3), (4,)])
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_loss_and_second_order_gradient_are_those_of_whole_tables(split, markets, hidden):
    nodes = map_nodes(split.train, markets)
    network = drawn(nodes, hidden)
    examples = examples_of(split.train, nodes, 16)
    assert len(examples.runs) == len(markets)
    halves = examples.items.view(len(markets), 2, -1)
    assert all(np.intersect1d(*half.numpy()).size for half in halves)  # rows that move and judge
    parameters = list(network.parameters())
    found, expected = (
        (loss, torch.autograd.grad(loss, parameters))
        for loss in (
            meta_loss(network, examples, 0.4),
            whole_table_loss(network, examples, 0.4),
        )
    )
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-6)
    first_order = torch.autograd.grad(meta_loss(network, examples, 1e-8), parameters)
    assert any((a - b).abs().max() > 1e-3 for a, b in zip(first_order, expected[1], strict=True))


def test_dropout_is_for_training_only(split):
    nodes = map_nodes(split.train, split.train.markets)
    network, examples = drawn(nodes), examples_of(split.train, nodes, 4)
    network.tower.dropout = 0.5
    network.eval()
    assert meta_loss(network, examples, 0.1) == meta_loss(network, examples, 0.1)
    network.train()
    assert meta_loss(network, examples, 0.1) != meta_loss(network, examples, 0.1)


def fit(split, options, target=TARGET, valid=None, train=None, **values):
    values = {"gmf": FAST, "mlp": FAST, "nmf": FAST, **FAST, **values}
    model = MAML.from_config({"embedding_size": 8, "hidden": [16, 8], **values}, options=options)
    return model.fit(split.train if train is None else train, target=target, valid=valid)


@pytest.fixture
def steps(monkeypatch):
    """The examples of every step, by market."""
    seen = []

    def watched(network, examples, rate):
        seen.append(examples)
        return meta_loss(network, examples, rate)

    monkeypatch.setattr(maml, "meta_loss", watched)
    return seen


def test_a_step_holds_shots_rows_twice_of_every_market(split, options, steps):
    fit(split, options, shots=12, num_negatives=3, epochs=1)
    for examples in steps:
        assert examples.runs == [(0, 24, 0), (24, 48, 1), (48, 72, 2)]
        assert examples.labels.view(6, 12).sum(1).tolist() == [3.0] * 6
    largest = max(len(split.train.edges(market)) for market in split.train.markets)
    assert len(steps) == -(-largest // 6)


def test_steps_limits_an_epoch_and_each_epoch_goes_elsewhere(split, options, steps):
    fit(split, options, shots=5, steps=2, epochs=2)
    assert len(steps) == 4
    assert not torch.equal(steps[0].users, steps[2].users)


def test_a_market_without_interactions_takes_no_part(split, options, steps):
    empty = split.train.replace_edges({"aa": split.train.edges("aa").select(slice(0, 0))})
    fit(split, options, train=empty, shots=5, epochs=1)
    assert [market for _, _, market in steps[0].runs] == [1, 2]


def test_it_starts_from_the_trained_nmf_which_stays(split, options):
    model = fit(split, options, epochs=0)
    nmf, start = model._stages["nmf"].network, model._fitted.network
    assert nmf is not start
    for name, value in nmf.state_dict().items():
        assert torch.equal(value, start.state_dict()[name])
    kept = {name: value.clone() for name, value in nmf.state_dict().items()}
    later = fit(split, options)
    assert later._stages["nmf"].network is nmf
    moved = later._fitted.network.state_dict()
    for name, value in kept.items():
        assert torch.equal(nmf.state_dict()[name], value)
        assert not torch.equal(moved[name], value)


def test_one_training_serves_all_targets_and_the_nmf_is_nmfs(split, tmp_path):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    for target in ("aa", TARGET):
        model = fit(split, options, target, split.valid)
    same = {"gmf": FAST, "mlp": FAST, "sampling": "equal"}
    nmf = NMF.from_config({"embedding_size": 8, "hidden": [16, 8], **same, **FAST}, options=options)
    nmf.fit(split.train, target=TARGET, valid=split.valid)
    assert nmf._fitted is model._stages["nmf"]
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert kinds == ["all-gmf", "all-maml", "all-mlp", "all-nmf"]


def test_cutting_the_shared_items_of_a_source_changes_the_target(split):
    source = split.train.edges("aa")
    shared = np.isin(source.items, split.train.catalogue(TARGET))
    cut = split.train.replace_edges({"aa": source.select(~shared)})
    users = np.arange(len(split.train.users(TARGET)))
    # Random starts: whatever differs comes from the meta-learning.
    plain = {"gmf": None, "mlp": None, "nmf": {"epochs": 0}}
    whole, other = (
        fit(split, RunOptions(seed=3, threads=1), train=train, **plain).score(users)
        for train in (split.train, cut)
    )
    assert np.abs(whole - other).max() > 1e-3


def test_a_toy_is_learned_to_the_full():
    values = {"gmf": None, "mlp": None, "nmf": {"epochs": 0}, "learning_rate": 0.03, "reg": 0.0}
    model, data = fit_blocks(MAML, {**values, "shots": 40}, epochs=60)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    untrained, _ = fit_blocks(MAML, values, epochs=0)
    assert ranked_on_top(untrained, data).mean() < 0.5


def test_adapting_at_test_takes_one_step_on_rows_of_the_validation_lists(split, options):
    users = np.arange(len(split.train.users(TARGET)))
    plain = fit(split, options, valid=split.valid, shots=400)
    adapted = fit(split, options, valid=split.valid, shots=400, test_adapt="valid20")
    assert adapted._stages["maml"] is plain._fitted  # the same training
    theta, moved = plain._fitted.network, adapted._fitted.network
    # Nearly all of these rows are labelled 0, so the bias falls by the mean of sigma(logit) - y.
    fall = (theta.output.bias - moved.output.bias).item() / plain.config.inner_rate
    assert 0 < fall < 1
    market = plain._nodes.user_nodes(TARGET, users)
    before, after = theta.mlp_users.weight, moved.mlp_users.weight
    touched = (before != after).any(1).numpy()
    assert touched[market].any()
    assert not np.delete(touched, market).any()
    assert np.abs(adapted.score(users) - plain.score(users)).max() > 1e-4
    without = fit(split, options, shots=400, test_adapt="valid20")
    np.testing.assert_array_equal(without.score(users), fit(split, options, shots=400).score(users))


def test_every_stage_is_settled(split, options, best_at_two):
    model = build_tiny(MAML, options, epochs=4).fit(split.train, target=TARGET, valid=split.valid)
    config = model.settled().config
    stages = (config.gmf, config.mlp, config.nmf, config)
    assert [stage.epochs for stage in stages] == [2, 2, 2, 2]
