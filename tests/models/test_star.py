"""STAR against its equations; the statistics it scores with."""

import numpy as np
import pytest
import torch
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.models.test_multi_task import build_star
from tests.toys import TARGET, build_tiny, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.star.model import Star, example_shares
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.sampling import PositiveSampler

EPS = 1e-5


def network_of(markets=("aa", "bb", "cc"), **values):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    return build_star(train, nodes, dropout=0.0, **values), train, nodes


def inputs(state, users, items):
    return np.concatenate([state["users.weight"][users], state["items.weight"][items]], axis=1)


def by_hand(state, users, items, market, mean, variance):
    e = np.broadcast_to(state["markets.weight"][market], (len(users), 3))
    z = np.concatenate([inputs(state, users, items), e], axis=1)
    # The vector of the market is its own mean, and varies by nothing.
    mean = np.concatenate([mean, e[0]])
    variance = np.concatenate([variance, np.zeros(3)])
    scale = state["norm.gain"] * state[f"norm.gains.{market}"]
    shift = state["norm.shift"] + state[f"norm.shifts.{market}"]
    x = scale * (z - mean) / np.sqrt(variance + EPS) + shift
    for layer in ("first", "rest.0", "head"):
        weight = state[f"{layer}.centre.weight"] * state[f"{layer}.weights.{market}"]
        bias = state[f"{layer}.centre.bias"] + state[f"{layer}.biases.{market}"]
        x = x @ weight.T + bias
        x = x if layer == "head" else relu(x)
    joined = [state["auxiliary.weight"], state["auxiliary_market.weight"]]
    side = relu(z @ np.concatenate(joined, axis=1).T + state["auxiliary.bias"])
    side = side @ state["auxiliary_head.weight"].T + state["auxiliary_head.bias"]
    return (x + side)[:, 0]


@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_a_step_is_that_of_the_equations(markets):
    network, train, nodes = network_of(markets)
    state = arrays(randomise(network))
    network.train()
    examples = examples_of(train, nodes, 120)
    logits = []
    for start, end, market in examples.runs:
        users, items = examples.users[start:end].numpy(), examples.items[start:end].numpy()
        z = inputs(state, users, items)
        logits.append(by_hand(state, users, items, market, z.mean(axis=0), z.var(axis=0)))
    logits = np.concatenate(logits)
    np.testing.assert_allclose(network.logits(examples).detach(), logits, rtol=1e-3, atol=1e-4)
    loss = np.mean(np.logaddexp(0, logits) - examples.labels.numpy() * logits)
    assert network.losses(examples)["loss"].item() == pytest.approx(loss, rel=1e-4)


@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb", "cc")])
def test_scores_are_those_of_the_equations(markets):
    network, _, nodes = network_of(markets)
    state = arrays(randomise(network))
    users, items = np.arange(0, nodes.num_users, 3), np.arange(len(nodes.items))
    for market in range(len(markets)):
        user_share = network.user_shares[market].double().numpy()
        item_share = network.item_shares[market].double().numpy()
        moments = []
        for share, table in ((user_share, "users"), (item_share, "items")):
            rows = state[f"{table}.weight"]
            mean = (share[:, None] * rows).sum(axis=0)
            moments.append((mean, (share[:, None] * rows**2).sum(axis=0) - mean**2))
        mean, variance = (np.concatenate(parts) for parts in zip(*moments, strict=True))
        pairs = [values.ravel() for values in np.meshgrid(users, items, indexing="ij")]
        expected = by_hand(state, *pairs, market, mean, variance).reshape(len(users), -1)
        found = network(torch.tensor(users[:, None]), torch.tensor(items[None]), market)
        np.testing.assert_allclose(found.detach(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("negatives", ["market", "union"])
def test_shares_are_those_of_the_examples_that_the_sampler_draws(negatives):
    train = toy_split().train
    nodes = map_nodes(train, train.markets)
    sold = {market: set(train.catalogue(market).tolist()) for market in train.markets}
    everything = set().union(*sold.values())
    for market in train.markets:
        found_users, found_items = example_shares(train, nodes, market, 3, negatives)
        edges = train.edges(market)
        own = {}
        for user, item in zip(edges.users.tolist(), edges.items.tolist(), strict=True):
            own.setdefault(user, set()).add(item)
        users, items = np.zeros(nodes.num_users), dict.fromkeys(nodes.items.tolist(), 0.0)
        for user, bought in own.items():
            unseen = (sold[market] if negatives == "market" else everything) - bought
            for item in bought:
                users[nodes.user_starts[market] + user] += 4
                items[item] += 1
                for other in unseen:
                    items[other] += 3 / len(unseen)
        total = 4 * len(edges)
        np.testing.assert_allclose(found_users, users / total, rtol=1e-5)
        expected = np.array(list(items.values())) / total
        np.testing.assert_allclose(found_items, expected, rtol=1e-5, atol=1e-8)
        sampler = ExampleSampler(PositiveSampler(train, nodes, [market]), 3, negatives=negatives)
        if negatives == "market":
            rng = np.random.default_rng(0)
            drawn = [e.items for _ in range(200) for e in sampler.batches(1000, rng)]
            counts = np.bincount(torch.cat(drawn).numpy(), minlength=len(nodes.items))
            assert np.abs(counts / counts.sum() - found_items.numpy()).max() < 0.005


def test_statistics_follow_the_tables_from_one_evaluation_to_the_next():
    network, _, _ = network_of()
    network.eval()
    users, items = torch.arange(4)[:, None], torch.arange(5)[None]
    with torch.inference_mode():
        before = network(users, items, 0)
    with torch.no_grad():  # a longer vector, normalised, is the same vector
        network.users.weight.mul_(50)
        network.items.weight.mul_(50)
        network.auxiliary_head.weight.zero_()
    network.eval()
    mean, variance = network.statistics(0)
    share = network.item_shares[0][:, None]
    torch.testing.assert_close(mean[3:], (share * network.items.weight).sum(dim=0))
    assert (variance > 0.01).all()
    assert not torch.allclose(network(users, items, 0), before, atol=1e-4)


def test_all_markets_start_from_the_shared_layers():
    network, _, _ = network_of()
    for layer in (network.first, *network.rest, network.head):
        for market in range(3):
            weight, bias = layer.of(market)
            assert torch.equal(weight, layer.centre.weight)
            assert torch.equal(bias, layer.centre.bias)


def test_weights_of_a_market_rest_in_the_steps_of_others():
    network, train, nodes = network_of()
    examples = examples_of(train, nodes)
    start, end, _ = examples.runs[1]
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1, weight_decay=0.1)
    network(examples.users[start:end], examples.items[start:end], 1).sum().backward()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimiser.step()
    own = ("weights", "biases", "gains", "shifts")
    for name, tensor in network.state_dict().items():
        *_, kind, place = name.split(".")
        rested = kind in own and place != "1"
        assert torch.equal(tensor, before[name]) == rested, name


def test_steps_are_of_one_market(split, options, monkeypatch):
    seen = []
    plain = ExampleSampler.batches

    def batches(sampler, size, generator):
        for examples in plain(sampler, size, generator):
            seen.append([market for _, _, market in examples.runs])
            yield examples

    monkeypatch.setattr(ExampleSampler, "batches", batches)
    build_tiny(Star, options, epochs=1).fit(split.train, target=TARGET)
    assert {len(markets) for markets in seen} == {1}
    assert {markets[0] for markets in seen} == {0, 1, 2}
