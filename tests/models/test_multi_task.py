"""Cross-Stitch, MMoE and STAR alike: learning, transfer, tasks; the layers they stack."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.networks import randomise
from tests.models.test_domains import examples_of
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.cross_stitch import CrossStitch, CrossStitchConfig, CrossStitchNetwork
from crossmarket.models.mmoe import MMoE, MMoEConfig, MMoENetwork
from crossmarket.models.multi_task import StackedLinear, StackedPairLinear
from crossmarket.models.pairs import PairScorer
from crossmarket.models.star.model import Star, example_shares
from crossmarket.models.star.network import StarConfig, StarNetwork
from crossmarket.training.options import RunOptions

SYSTEMS = [CrossStitch, MMoE, Star]
WITH_TASKS = [CrossStitch, MMoE]
SMALL = {"embedding_size": 3, "hidden": (5, 4)}


def build_cross_stitch(train, nodes, **values):
    return CrossStitchNetwork(
        nodes, CrossStitchConfig(**SMALL, **values), range(len(nodes.markets))
    )


def build_mmoe(train, nodes, **values):
    config = MMoEConfig(num_experts=3, tower=(3,), **SMALL, **values)
    return MMoENetwork(nodes, config, range(len(nodes.markets)))


def build_star(train, nodes, **values):
    shares = [example_shares(train, nodes, market, 4, "market") for market in nodes.markets]
    users, items = zip(*shares, strict=True)
    return StarNetwork(nodes, StarConfig(**SMALL, **values), list(users), list(items))


BUILDERS = {"cross-stitch": build_cross_stitch, "mmoe": build_mmoe, "star": build_star}


@pytest.fixture(scope="module", params=BUILDERS)
def network(request, split):
    nodes = map_nodes(split.train, split.train.markets)
    return randomise(BUILDERS[request.param](split.train, nodes)), nodes, split.train


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_a_toy_is_learned(tmp_path, model_class):
    values = {"learning_rate": 0.01, "embedding_size": 16, "hidden": (32, 16), "reg": 0.0}
    model, data = fit_blocks(model_class, {**values, "dropout": 0.0}, workspace=tmp_path)
    assert hits_at_one(model, data) == 1
    # Perceptrons take long to tell what a user left out of its block.
    assert ranked_on_top(model, data).mean() > 0.6
    untrained, _ = fit_blocks(model_class, values, epochs=0)
    assert hits_at_one(untrained, data) < 0.7
    assert ranked_on_top(untrained, data).mean() < 0.2


def test_a_step_asks_each_market_for_its_own_pairs(network):
    network, nodes, train = network
    examples = examples_of(train, nodes)
    assert [market for _, _, market in examples.runs] == [0, 1, 2]
    expected = [
        network(examples.users[row], examples.items[row], market)
        for start, end, market in examples.runs
        for row in range(start, end)
    ]
    torch.testing.assert_close(
        network.logits(examples), torch.stack(expected), rtol=1e-4, atol=1e-5
    )


def test_scores_do_not_depend_on_the_size_of_a_block(network):
    network, nodes, train = network
    users, items = np.arange(len(train.users(TARGET))), train.catalogue(TARGET)
    whole = PairScorer(network, nodes, "cpu")(TARGET, users, items)
    size, network.pairs_at_once = network.pairs_at_once, 1
    try:
        parts = PairScorer(network, nodes, "cpu")(TARGET, users, items)
    finally:
        network.pairs_at_once = size
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


def test_wider_networks_score_fewer_pairs_at_once(split):
    nodes = map_nodes(split.train, split.train.markets)
    for model_class, build in zip(SYSTEMS, BUILDERS.values(), strict=True):
        model = model_class.from_config({"epochs": 0, "embedding_size": 4}, preset="m3rec")
        wide = model.fit(split.train, target=TARGET)._fitted.network
        assert 1024 <= wide.pairs_at_once <= 4096 < build(split.train, nodes).pairs_at_once


def test_what_is_learned_of_one_market_changes_another(network):
    network, nodes, train = network
    catalogue = nodes.item_nodes(train.catalogue(TARGET)) - nodes.num_users
    own = torch.tensor(nodes.user_nodes(TARGET, np.arange(4)))[:, None]
    everything = torch.from_numpy(catalogue)[None]
    examples = examples_of(train, nodes)
    start, end, market = examples.runs[0]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    before = network(own, everything, 1).detach()
    logits = network(examples.users[start:end], examples.items[start:end], market)
    network.zero_grad()
    logits.square().mean().backward()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.1)
    network.eval()
    assert ((network(own, everything, 1) - before).abs() > 1e-5).all()
    network.load_state_dict(state)
    network.eval()


@pytest.mark.parametrize("model_class", SYSTEMS)
def test_one_training_serves_all_targets(split, tmp_path, model_class):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    for target in split.train.markets:
        build_tiny(model_class, options).fit(split.train, target=target, valid=split.valid)
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(f"all-{model_class.name}-")
    assert len(options.memory) == 1


@pytest.mark.parametrize("model_class", WITH_TASKS)
def test_target_and_others_are_two_tasks_of_a_training_for_each_target(
    split, tmp_path, model_class
):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    found = {}
    for target in ("aa", TARGET):
        model = build_tiny(model_class, options, preset="acmr")
        model.fit(split.train, target=target, valid=split.valid)
        found[target] = model._fitted.network
    assert found["aa"].tasks == (0, 1, 1)
    assert found[TARGET].tasks == (1, 0, 1)
    assert found[TARGET].num_tasks == 2
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert kinds == [f"aa-{model_class.name}", f"bb-{model_class.name}"]


@pytest.mark.parametrize("model_class", WITH_TASKS)
def test_markets_of_one_task_share_its_output(split, options, model_class):
    model = build_tiny(model_class, options, preset="acmr", epochs=1)
    network = model.fit(split.train, target=TARGET)._fitted.network
    users, items = torch.arange(6), torch.arange(6)
    first, own, last = (network(users, items, market) for market in range(3))
    assert torch.equal(first, last)
    assert not torch.allclose(first, own)


def test_epochs_are_settled(split, options, best_at_two):
    for model_class in SYSTEMS:
        model = build_tiny(model_class, options, epochs=4)
        model.fit(split.train, target=TARGET, valid=split.valid)
        assert model.settled().config.epochs == 2


def test_stacked_layers_are_layers_side_by_side():
    torch.manual_seed(0)
    layer, pair = StackedLinear(3, 4, 2), StackedPairLinear(3, 4, 2)
    for bias in (layer.bias, pair.bias):
        torch.nn.init.normal_(bias)
    x = torch.randn(3, 5, 6, 4)
    single = [x[k] @ layer.weight[k] + layer.bias[k] for k in range(3)]
    torch.testing.assert_close(layer(x), torch.stack(single))
    p, q = torch.randn(5, 1, 4), torch.randn(1, 6, 4)
    both = torch.cat([p.expand(5, 6, 4), q.expand(5, 6, 4)], dim=-1)
    single = [both @ pair.weight[k] + pair.bias[k] for k in range(3)]
    torch.testing.assert_close(pair(p, q), torch.stack(single))
    torch.testing.assert_close(pair(both[..., :4], both[..., 4:]), torch.stack(single))
