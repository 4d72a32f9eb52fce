"""NATR against its equations; histories never hold the candidate."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.special import softmax as softmax_of
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.mf import MFNetwork
from crossmarket.models.natr import NATR, NATRConfig, NATRNetwork
from crossmarket.training.histories import Histories
from crossmarket.training.options import RunOptions

RATE = {"learning_rate": 0.05, "reg": 0.0, "embedding_size": 16}


def network_of(max_length=50, penalty=0.0):
    train = toy_split().train
    nodes = map_nodes(train, [TARGET])
    histories = Histories.of(train, nodes, [TARGET])
    config = NATRConfig(embedding_size=3, max_length=max_length, penalty=penalty)
    vectors = torch.zeros(len(nodes.items) + 1, 3)
    return randomise(NATRNetwork(nodes, vectors, histories, config)), train, nodes


def by_hand(state, user, item, history):
    p, q = state["users.weight"][user], state["items.weight"][item]
    if not len(history):
        return p @ q
    t = [
        state["transfer.weight"] @ state["source_items.weight"][j] + state["transfer.bias"]
        for j in history
    ]
    w_a, b_a = state["item_attention.weight"][0], state["item_attention.bias"][0]
    a = softmax_of([w_a @ relu(p * vector) + b_a for vector in t])
    s = sum(weight * vector for weight, vector in zip(a, t, strict=True))
    w_d = state["domain_attention.weight"][0]
    b_s, b_p = w_d @ relu(s * q), w_d @ relu(p * q)
    share = np.exp(b_s) / (np.exp(b_s) + np.exp(b_p))
    return (share * s + (1 - share) * p) @ q


def history_of(network, user, without=None):
    histories = network.histories
    items = histories.items[histories.offsets[user] : histories.offsets[user + 1]]
    return items[items != without][-network.max_length :]


@pytest.mark.parametrize("max_length", [3, 50])
def test_logits_are_those_of_the_equations(max_length):
    network, _, nodes = network_of(max_length)
    state = arrays(network)
    users, items = np.arange(nodes.num_users), np.arange(len(nodes.items))
    lists = np.stack([np.roll(items, user)[:5] for user in users])
    with torch.no_grad():
        every = network(torch.tensor(users[:, None]), torch.tensor(items[None]), 0)
        chosen = network(torch.tensor(users[:, None]), torch.tensor(lists), 0)
        pairs = network(torch.tensor(users), torch.tensor(lists[:, 0]), 0)
    expected = np.array(
        [[by_hand(state, u, i, history_of(network, u)) for i in items] for u in users]
    )
    np.testing.assert_allclose(every, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        chosen, np.take_along_axis(expected, lists, axis=1), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(pairs, expected[users, lists[:, 0]], rtol=1e-4, atol=1e-5)
    newcomer = toy_split().train.users(TARGET).rows(["newcomer"])[0]
    assert not len(history_of(network, newcomer))


@pytest.mark.parametrize("max_length", [3, 50])
def test_in_training_the_positive_is_not_in_the_history(max_length):
    network, train, nodes = network_of(max_length, penalty=0.5)
    examples = examples_of(train, nodes, size=60)
    state, entropies, rows = arrays(network), [], []
    for row in range(0, len(examples), 3):
        user, positive = int(examples.users[row]), int(examples.items[row])
        history = history_of(network, user, without=positive)
        assert positive not in history
        rows.append(state["users.weight"][user])
        for place in range(row, row + 3):
            item = int(examples.items[place])
            logit = by_hand(state, user, item, history)
            entropies.append(-np.log(expit(logit if place == row else -logit)))
            rows.append(state["items.weight"][item])
    penalty = np.square(rows).sum() / (len(examples) / 3)
    for name in ("transfer", "item_attention", "domain_attention"):
        penalty += np.square(state[f"{name}.weight"]).sum()
    loss = network.losses(examples)["loss"].item()
    np.testing.assert_allclose(loss, np.mean(entropies) + 0.5 * penalty, rtol=1e-4)


def test_the_item_vectors_come_from_an_inner_product():
    nodes = map_nodes(toy_split().train, ["aa", "cc"])
    network = randomise(MFNetwork(nodes, 4))
    state = arrays(network)
    expected = state["users.weight"] @ state["items.weight"].T
    users, items = torch.arange(nodes.num_users), torch.arange(len(nodes.items))
    with torch.no_grad():
        every = network(users[:, None], items[None], 0)
        lists = network(users[:3, None], items[:6].view(3, 2), 0)
    np.testing.assert_allclose(every, expected, rtol=1e-4, atol=1e-6)
    wanted = [[expected[user, 2 * user + place] for place in (0, 1)] for user in range(3)]
    np.testing.assert_allclose(lists, wanted, rtol=1e-4, atol=1e-6)


def fit(options=None, target=TARGET, data=None, **values):
    options = options or RunOptions(seed=3, threads=1)
    model = build_tiny(NATR, options, None, values, learning_rate=0.05)
    return model.fit(toy_split().train if data is None else data, target=target)


@pytest.mark.parametrize("sources", ["others", "all"])
def test_the_given_vectors_are_there_and_stay(sources):
    model = fit(sources=sources)
    train, network = model.train, model._fitted.network
    learned = [m for m in train.markets if sources == "all" or m != TARGET]
    elsewhere = map_nodes(train, learned).items
    table = network.source_items.weight
    assert not table.requires_grad
    given = model._mf.network.items.weight
    found = 0
    for place, item in enumerate(model._nodes.items):
        if item in elsewhere:
            found += 1
            assert torch.equal(table[place], given[np.searchsorted(elsewhere, item)])
            assert table[place].abs().sum() > 0
        else:
            assert not table[place].any()
    assert not table[-1].any()
    assert found == len(model._nodes.items) if sources == "all" else found > 0
    assert found == len(model._known)
    assert set(network.histories.items) <= set(np.searchsorted(model._nodes.items, model._known))
    kept = np.isin(train.edges(TARGET).items, model._known).sum()
    assert len(network.histories.items) == kept > 0


def test_one_training_of_all_markets_serves_all_targets():
    counts = {}
    for sources in ("others", "all"):
        options = RunOptions(seed=3, threads=1)
        for target in ("aa", "bb", "cc"):
            fit(options, target=target, sources=sources)
        counts[sources] = len(options.memory)
    assert counts == {"others": 6, "all": 4}


def test_the_sources_reach_the_target_through_shared_items_alone():
    def scores(data):
        model = fit(target="aa", data=data, epochs=25, batch_size=100_000)
        found = model.score(np.arange(len(data.users("aa"))))
        assert found.std() > 1e-3
        return found

    shared, disjoint = two_markets(shared=True), two_markets(shared=False)
    assert not np.allclose(scores(shared), scores(relabelled(shared)), rtol=1e-4)
    np.testing.assert_array_equal(scores(disjoint), scores(relabelled(disjoint)))


def test_a_new_history_changes_the_summary_and_nothing_learned():
    split = toy_split()
    model = fit()
    users = np.arange(len(model.users))
    before, learned = model.score(users), arrays(model._fitted.network)
    model.set_history(split.refit().train)
    changed = np.abs(model.score(users) - before).max(axis=1) > 1e-7
    new = split.valid.edges(TARGET)
    assert set(np.flatnonzero(changed)) == set(new.users[np.isin(new.items, model._known)])
    for name, values in arrays(model._fitted.network).items():
        np.testing.assert_array_equal(values, learned[name])


@pytest.mark.parametrize("sources", ["others", "all"])
def test_it_learns_the_blocks(sources):
    values = {**RATE, "penalty": 0.0, "sources": sources, "mf": {"learning_rate": 0.05}}
    model, data = fit_blocks(NATR, values, epochs=60)
    assert hits_at_one(model, data) == 1
    assert ranked_on_top(model, data).all()
    untrained, _ = fit_blocks(NATR, values, epochs=0)
    assert ranked_on_top(untrained, data).mean() < 0.5
