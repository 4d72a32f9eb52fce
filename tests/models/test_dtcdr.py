"""DTCDR against its equations."""

import numpy as np
import pytest
import torch
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.toys import TARGET, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.domains import SOURCE, Domains
from crossmarket.models.domains import TARGET as OWN
from crossmarket.models.dtcdr import DTCDRConfig, DTCDRNetwork

COMBINE = {
    "max": lambda own, other, both: np.maximum(own, other) if both else own,
    "mean": lambda own, other, both: (own + other) / 2 if both else own,
    "concat": lambda own, other, both: np.concatenate([own, other if both else np.zeros(3)]),
    "none": lambda own, other, both: own,
}


def network_of(markets=("aa", "bb", "cc"), **values):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    config = DTCDRConfig(embedding_size=3, hidden=(5, 4), **values)
    return randomise(DTCDRNetwork(Domains.of(train, nodes, TARGET), config)), train, nodes


def by_hand(state, user, item, domain, combine):
    own, other = (state[f"items.{place}.weight"][item] for place in (domain, 1 - domain))
    q = COMBINE[combine](own, other, state["bridge"][item])
    tower = f"towers.{domain}"
    z = np.concatenate([state["users.weight"][user], q])
    z = relu(state[f"{tower}.first.weight"] @ z + state[f"{tower}.first.bias"])
    z = relu(state[f"{tower}.rest.0.weight"] @ z + state[f"{tower}.rest.0.bias"])
    return (state[f"outputs.{domain}.weight"] @ z + state[f"outputs.{domain}.bias"]).item()


@pytest.mark.parametrize("combine", COMBINE)
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_logits_are_those_of_the_equations(markets, combine):
    network, _, nodes = network_of(markets, combine=combine)
    state = arrays(network)
    users, items = np.arange(0, nodes.num_users, 5), np.arange(len(nodes.items))
    for market, name in enumerate(markets):
        domain = OWN if name == TARGET else SOURCE
        with torch.no_grad():
            every = network(torch.tensor(users[:, None]), torch.tensor(items[None]), market)
            pairs = network(torch.tensor(users[:4]), torch.tensor(items[-4:]), market)
        expected = np.array([[by_hand(state, u, i, domain, combine) for i in items] for u in users])
        np.testing.assert_allclose(every, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(pairs, np.diag(expected[:4, -4:]), rtol=1e-4, atol=1e-5)


def test_the_loss_weighs_the_domains_as_asked():
    losses = []
    for share in (0.0, 0.3, 1.0):
        network, train, nodes = network_of(source_weight=share)
        losses.append(network.losses(examples_of(train, nodes))["loss"].item())
    own, mixed, source = losses
    assert abs(own - source) > 1e-3
    np.testing.assert_allclose(mixed, 0.7 * own + 0.3 * source, rtol=1e-5)


def test_a_pair_of_the_target_moves_the_sources_vectors_of_shared_items_only():
    network, _, nodes = network_of()
    users, items = torch.arange(nodes.num_users), torch.arange(len(nodes.items))
    network(users[:, None], items[None], 1).sum().backward()
    moved = network.items[SOURCE].weight.grad.abs().sum(dim=1) > 0
    assert moved.any()
    assert not moved[~network.bridge].any()
