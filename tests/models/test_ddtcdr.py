"""DDTCDR against its equations; its vectors are a GMF's and stay."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.toys import TARGET, build_tiny, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.ddtcdr import DDTCDR, DDTCDRConfig, DDTCDRNetwork, mix
from crossmarket.models.domains import SOURCE, Domains
from crossmarket.models.domains import TARGET as OWN
from crossmarket.models.gmf import GMF, GMFNetwork
from crossmarket.training.options import RunOptions


def network_of(markets=("aa", "bb", "cc"), **values):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    config = DDTCDRConfig(embedding_size=3, hidden=(5, 4), **values)
    domains = Domains.of(train, nodes, TARGET)
    start = GMFNetwork(nodes, config.embedding_size)
    return randomise(DDTCDRNetwork(domains, start, config)), train, nodes


def rate(state, domain, p, q):
    tower = f"towers.{domain}"
    z = np.concatenate([p, q])
    z = relu(state[f"{tower}.first.weight"] @ z + state[f"{tower}.first.bias"])
    z = relu(state[f"{tower}.rest.0.weight"] @ z + state[f"{tower}.rest.0.bias"])
    return expit(state[f"outputs.{domain}.weight"] @ z + state[f"outputs.{domain}.bias"]).item()


def by_hand(state, user, item, domain, share):
    p, q = state["users.weight"][user], state["items.weight"][item]
    share = share if state["bridge"][item] else 0
    turned = state["map"] @ q if domain == OWN else state["map"].T @ q
    return (1 - share) * rate(state, domain, p, q) + share * rate(state, 1 - domain, p, turned)


@pytest.mark.parametrize("share", [0.0, 0.03, 0.6])
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_probabilities_are_those_of_the_equations(markets, share):
    network, _, nodes = network_of(markets, transfer=share)
    state = arrays(network)
    users, items = np.arange(0, nodes.num_users, 5), np.arange(len(nodes.items))
    for market, name in enumerate(markets):
        domain = OWN if name == TARGET else SOURCE
        with torch.no_grad():
            every = network(torch.tensor(users[:, None]), torch.tensor(items[None]), market)
        expected = [[by_hand(state, u, i, domain, share) for i in items] for u in users]
        np.testing.assert_allclose(expit(every.double().numpy()), expected, rtol=1e-4)


def test_mixing_far_apart_logits_stays_exact_and_differentiable():
    own = torch.tensor([-90.0, 90.0, 0.5, -90.0], requires_grad=True)
    other = torch.tensor([3.0, -90.0, 0.5, -90.0], requires_grad=True)
    mixed = mix(own, other, 0.25)
    chances = 0.75 * expit(own.detach().double().numpy()) + 0.25 * expit(
        other.detach().double().numpy()
    )
    expected = np.log(chances / (1 - chances))
    np.testing.assert_allclose(mixed[:3].detach(), expected[:3], rtol=1e-5)
    np.testing.assert_allclose(mixed[3].item(), -90.0)
    mixed.sum().backward()
    assert torch.isfinite(own.grad).all()
    assert torch.isfinite(other.grad).all()
    assert other.grad[0] > 0


def test_the_loss_asks_for_an_orthogonal_map_and_starts_with_one():
    losses = []
    for weight in (0.0, 0.5):
        network, train, nodes = network_of(orthogonality=weight)
        losses.append(network.losses(examples_of(train, nodes))["loss"].item())
    w = network.map.detach().numpy()
    gap = np.abs(w @ w.T - np.eye(3)).sum()
    assert gap > 0.5
    np.testing.assert_allclose(losses[1] - losses[0], 0.5 * gap, rtol=1e-4)
    start = GMFNetwork(nodes, 8)
    fresh = DDTCDRNetwork(Domains.of(train, nodes, TARGET), start, DDTCDRConfig()).map
    np.testing.assert_allclose((fresh @ fresh.T).detach(), np.eye(8), atol=1e-5)


def test_the_map_learns_from_the_prediction():
    network, train, nodes = network_of(orthogonality=0.0, transfer=0.3)
    network.losses(examples_of(train, nodes))["loss"].backward()
    assert network.map.grad.abs().sum() > 0


def fit(options, target=TARGET, preset=None, **values):
    model = build_tiny(DDTCDR, options, preset, values, learning_rate=0.05, reg=0.0)
    return model.fit(toy_split().train, target=target)


def test_the_vectors_are_the_gmfs_before_and_after():
    model = fit(RunOptions(seed=3, threads=1))
    network, gmf = model._fitted.network, model._gmf.network
    assert gmf.items.weight.std() > 0.02  # trained: it started at 0.01
    for table, given in ((network.users, gmf.users), (network.items, gmf.items)):
        assert torch.equal(table.weight, given.weight)
        assert not table.weight.requires_grad
        assert table.weight.data_ptr() != given.weight.data_ptr()
    tuned = fit(RunOptions(seed=3, threads=1), tune_embeddings=True)
    assert not torch.equal(tuned._fitted.network.items.weight, gmf.items.weight)
    assert torch.equal(tuned._gmf.network.items.weight, gmf.items.weight)
    tables = gmf.users.weight.numel() + gmf.items.weight.numel()
    assert tuned.num_trainable() - model.num_trainable() == tables


def test_one_gmf_serves_all_targets_and_the_gmf_system():
    options = RunOptions(seed=3, threads=1)
    models = [fit(options, target=target) for target in ("aa", "bb", "cc")]
    assert len({id(model._gmf) for model in models}) == 1
    assert len(options.memory) == 4
    build_tiny(GMF, options, learning_rate=0.05, reg=0.0).fit(toy_split().train, target="aa")
    assert len(options.memory) == 4


def test_the_official_preset_transfers_nothing():
    model = fit(RunOptions(seed=3, threads=1), preset="faithful-detach")
    network = model._fitted.network
    network.zero_grad()
    users, items = torch.arange(len(model.users)), torch.arange(len(network.bridge))
    network(users[:, None], items[None], 1).sum().backward()
    assert network.map.grad is None
    assert network.outputs[SOURCE].weight.grad is None
