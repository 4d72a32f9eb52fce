"""CoNet against its equations."""

import numpy as np
import pytest
import torch
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.toys import TARGET, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.conet import CoNetConfig, CoNetNetwork
from crossmarket.models.domains import SOURCE, Domains
from crossmarket.models.domains import TARGET as OWN


def network_of(markets=("aa", "bb", "cc"), **values):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    config = CoNetConfig(embedding_size=3, hidden=(5, 4, 2), **values)
    return randomise(CoNetNetwork(Domains.of(train, nodes, TARGET), config)), train, nodes


def by_hand(state, user, item, domain, num_cross):
    a = {
        place: np.concatenate(
            [
                state[f"towers.{place}.users.weight"][user],
                state[f"towers.{place}.items.weight"][item],
            ]
        )
        for place in (0, 1)
    }
    gate = float(state["bridge"][item])
    for layer in range(3):
        before = {
            place: state[f"towers.{place}.layers.{layer}.weight"] @ a[place]
            + state[f"towers.{place}.layers.{layer}.bias"]
            for place in (0, 1)
        }
        if layer < num_cross:
            h = state[f"cross.{layer}.weight"]
            before = {place: before[place] + gate * (h @ a[1 - place]) for place in (0, 1)}
        a = {place: relu(before[place]) for place in (0, 1)}
    return (
        state[f"towers.{domain}.output.weight"] @ a[domain] + state[f"towers.{domain}.output.bias"]
    ).item()


@pytest.mark.parametrize("num_cross", [0, 2, 3])
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_logits_are_those_of_the_equations(markets, num_cross):
    network, _, nodes = network_of(markets, num_cross=num_cross)
    assert len(network.cross) == num_cross
    state = arrays(network)
    users, items = np.arange(0, nodes.num_users, 5), np.arange(len(nodes.items))
    for market, name in enumerate(markets):
        domain = OWN if name == TARGET else SOURCE
        with torch.no_grad():
            every = network(torch.tensor(users[:, None]), torch.tensor(items[None]), market)
            pairs = network(torch.tensor(users[:4]), torch.tensor(items[-4:]), market)
        expected = np.array(
            [[by_hand(state, u, i, domain, num_cross) for i in items] for u in users]
        )
        np.testing.assert_allclose(every, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(pairs, np.diag(expected[:4, -4:]), rtol=1e-4, atol=1e-5)


def test_the_sparse_variant_adds_the_size_of_the_cross_weights():
    network, train, nodes = network_of()
    sparse, _, _ = network_of(cross_l1=0.5)
    examples = examples_of(train, nodes)
    size = sum(np.abs(values).sum() for name, values in arrays(network).items() if "cross" in name)
    added = sparse.losses(examples)["loss"] - network.losses(examples)["loss"]
    np.testing.assert_allclose(added.item(), 0.5 * size, rtol=1e-4)


def test_the_other_tower_learns_from_a_pair_exactly_where_both_sell_the_item():
    network, _, nodes = network_of()
    users, items = torch.arange(nodes.num_users), torch.arange(len(nodes.items))
    network(users[:, None], items[None], 1).sum().backward()
    moved = network.towers[SOURCE].items.weight.grad.abs().sum(dim=1) > 0
    assert moved.any()
    assert not moved[~network.bridge].any()
    assert network.towers[SOURCE].output.weight.grad is None
