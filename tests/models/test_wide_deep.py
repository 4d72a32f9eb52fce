"""Wide & Deep: both parts by hand, crosses that tell markets apart, transfer."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.wide_deep import CrossedNetwork, WideDeep, WideDeepConfig, WideDeepNetwork
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

SMALL = WideDeepConfig(embedding_size=4, hidden=(6, 5), dropout=0.0, cross_buckets=64)
LEARNING = {"learning_rate": 0.005, "reg": 0.0, "dropout": 0.0, "hidden": (64, 32)}


def drawn(network_class, nodes):
    torch.manual_seed(0)
    network = network_class(nodes, SMALL)
    for parameter in network.parameters():  # small tables would hide a mistake
        torch.nn.init.normal_(parameter, std=0.7)
    return network, {
        key: value.numpy().astype(float) for key, value in network.state_dict().items()
    }


def logit(net, u, i):
    z = np.concatenate([net["users.weight"][u], net["items.weight"][i]])
    for layer in ("first", "rest.0"):
        z = np.maximum(net[f"tower.{layer}.weight"] @ z + net[f"tower.{layer}.bias"], 0)
    wide = net["user_weights.weight"][u, 0] + net["item_weights.weight"][i, 0]
    return wide + net["output.weight"][0] @ z + net["output.bias"][0]


def bucket(node, market, markets):
    """The high half of a 64-bit product, as Fibonacci hashing has it."""
    product = (node * markets + market + 1) * 0x9E3779B97F4A7C15 % 2**64
    return ((product >> 32) - (2**32 if product >> 63 else 0)) % SMALL.cross_buckets


@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
@pytest.mark.parametrize("network_class", [WideDeepNetwork, CrossedNetwork])
def test_logits_and_loss_are_those_of_the_equations(split, markets, network_class):
    nodes = map_nodes(split.train, markets)
    network, net = drawn(network_class, nodes)
    sampler = ExampleSampler(PositiveSampler(split.train, nodes), 2)
    examples = next(sampler.batches(60, np.random.default_rng(0)))
    expected = []
    for start, end, market in examples.runs:
        users, items = examples.users[start:end].tolist(), examples.items[start:end].tolist()
        for u, i in zip(users, items, strict=True):
            value = logit(net, u, i)
            if network_class is CrossedNetwork:
                weights = net["crosses.weight"][:, 0]
                value += weights[bucket(u, market, len(markets))]
                value += weights[bucket(i + nodes.num_users, market, len(markets))]
            expected.append(value)
    np.testing.assert_allclose(network.logits(examples).detach(), expected, rtol=1e-4, atol=1e-5)
    p, y = 1 / (1 + np.exp(-np.array(expected))), examples.labels.numpy()
    loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert network.losses(examples)["loss"].item() == pytest.approx(loss, rel=1e-5)


def test_crosses_spread_over_their_buckets(split):
    nodes = map_nodes(split.train, split.train.markets)
    network, _ = drawn(CrossedNetwork, nodes)
    values = {
        round(float(value), 6)
        for market in range(3)
        for value in network._cross(torch.arange(nodes.num_nodes), market).detach()
    }
    assert len(values) > 0.9 * SMALL.cross_buckets


def test_an_item_differs_between_markets_by_its_cross_alone(split):
    nodes = map_nodes(split.train, split.train.markets)
    users, items = torch.arange(4), torch.arange(4)
    plain, _ = drawn(WideDeepNetwork, nodes)
    crossed, _ = drawn(CrossedNetwork, nodes)
    assert torch.equal(plain(users, items, 0), plain(users, items, 1))
    assert not torch.equal(crossed(users, items, 0), crossed(users, items, 1))


def test_a_toy_is_learned_to_the_full():
    model, data = fit_blocks(WideDeep, LEARNING, epochs=150)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    untrained, _ = fit_blocks(WideDeep, LEARNING, epochs=0)
    assert ranked_on_top(untrained, data).mean() < 0.5


def test_crosses_are_off_unless_asked_for(split, options):
    counts = [
        build_tiny(WideDeep, options, values={"cross_buckets": buckets})
        .fit(split.train, target=TARGET)
        .num_trainable()
        for buckets in (0, 100)
    ]
    assert counts[1] - counts[0] == 100


def test_the_shared_items_of_a_source_change_the_target_where_markets_merge(split):
    users = np.arange(len(split.train.users(TARGET)))
    source = split.train.edges("aa")
    shared = np.isin(source.items, split.train.catalogue(TARGET))
    cut = split.train.replace_edges({"aa": source.select(~shared)})

    def scores(train, preset):
        fresh = RunOptions(seed=3, threads=1)
        model = build_tiny(WideDeep, fresh, preset, learning_rate=0.05)
        return model.fit(train, target=TARGET).score(users)

    merged = scores(cut, "++") - scores(split.train, "++")
    assert np.abs(merged).max() > 1e-3
    np.testing.assert_array_equal(scores(cut, "single"), scores(split.train, "single"))
