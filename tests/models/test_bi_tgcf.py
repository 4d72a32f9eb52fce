"""Bi-TGCF against its equations, node by node; what passes between markets, and where it ends."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from tests.graph.dense import dense_adjacency
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_domains
from crossmarket.models.bi_tgcf.config import BiTGCFConfig
from crossmarket.models.bi_tgcf.model import BiTGCF
from crossmarket.models.bi_tgcf.network import (
    BiTGCFNetwork,
    MarketGraphs,
    read_out,
    transfer_matrix,
)
from crossmarket.models.tables import initial_table
from crossmarket.training.options import RunOptions

RATE = {"learning_rate": 0.05, "reg": 0.0, "embedding_size": 16}


def network_of(train, **values):
    config = BiTGCFConfig(embedding_size=4, init_std=0.6, **values)
    nodes = map_domains(train, [[market] for market in train.markets])
    network = BiTGCFNetwork(
        initial_table(nodes, config, 0), MarketGraphs(nodes, train, config, "cpu")
    )
    return network.eval(), nodes, config


def features_of(nodes, table):
    """Rows of a table by (market, `user` or `item`, row in the vocabulary)."""
    found = {}
    for market in nodes.markets:
        start, end = nodes.domains[market]
        for place in range(start, end):
            found[market, "item", int(nodes.items[place])] = table[nodes.num_users + place]
    ends = [*list(nodes.user_starts.values())[1:], nodes.num_users]
    for (market, start), end in zip(nodes.user_starts.items(), ends, strict=True):
        for user in range(start, end):
            found[market, "user", user - start] = table[user]
    return found


def neighbours_of(train):
    found = {}
    for market in train.markets:
        edges = train.edges(market)
        for user, item in zip(edges.users.tolist(), edges.items.tolist(), strict=True):
            found.setdefault((market, "user", user), []).append((market, "item", item))
            found.setdefault((market, "item", item), []).append((market, "user", user))
    return found


def layer_by_hand(train, features, lam, transfer):
    near = neighbours_of(train)
    degree = {node: len(near.get(node, [])) for node in features}
    spread = {}
    for node, own in features.items():
        side = sum(
            (
                features[other] / np.sqrt(degree[node] * degree[other])
                for other in near.get(node, [])
            ),
            np.zeros_like(own),
        )
        spread[node] = own + side + own * side
    mixed = dict(spread)
    for node in features if transfer else ():
        _, kind, row = node
        places = [(other, kind, row) for other in train.markets]
        sold = [place for place in places if degree.get(place, 0)]
        others = [place for place in sold if place != node]
        if kind == "item" and others:
            mean = np.mean([spread[place] for place in others], axis=0)
            weighted = sum(degree[place] * spread[place] for place in sold)
            common = weighted / sum(degree[place] for place in sold)
            mixed[node] = (lam * spread[node] + (1 - lam) * mean + common) / 2
    return mixed


def vectors_by_hand(train, nodes, table, config):
    features = features_of(nodes, table)
    parts = {node: [vector] for node, vector in features.items()}
    for _ in range(config.num_layers):
        features = layer_by_hand(train, features, config.own_share, config.transfer)
        for node, vector in features.items():
            parts[node].append(vector / np.linalg.norm(vector))
    return {node: np.concatenate(part) for node, part in parts.items()}


@pytest.mark.parametrize("markets", [["bb"], ["aa", "bb"], ["aa", "bb", "cc"]])
@pytest.mark.parametrize("values", [{}, {"own_share": 0.3, "num_layers": 3}, {"transfer": False}])
def test_vectors_are_those_of_the_equations(split, markets, values):
    train = split.train.select_markets(markets)
    network, nodes, config = network_of(train, **values)
    with torch.no_grad():
        actual = features_of(nodes, network().numpy())
    table = network.table.detach().double().numpy()
    expected = vectors_by_hand(train, nodes, table, config)
    assert actual.keys() == expected.keys()
    for node, vector in expected.items():
        np.testing.assert_allclose(actual[node], vector, rtol=1e-4, atol=1e-5, err_msg=str(node))


def test_the_gradient_is_that_of_dense_products(split):
    network, nodes, config = network_of(split.train)
    users, items = nodes.edges_of(split.train, nodes.markets)
    edges = (users, items - nodes.num_users, nodes.num_users, len(nodes.items))
    graph = torch.from_numpy(dense_adjacency(*edges))
    degrees = np.bincount(items - nodes.num_users, minlength=len(nodes.items))
    mixed = torch.from_numpy(transfer_matrix(nodes.items, degrees, config.own_share).toarray())
    exact = network.table.detach().double().requires_grad_(True)
    layers = [exact]
    for _ in range(config.num_layers):
        side = graph @ layers[-1]
        spread = layers[-1] + side + layers[-1] * side
        parts = [spread[: nodes.num_users], mixed @ spread[nodes.num_users :]]
        layers.append(torch.cat(parts))
    vectors, expected = network(), read_out(layers)
    torch.testing.assert_close(vectors.double(), expected, rtol=1e-4, atol=1e-5)
    weights = torch.randn(vectors.shape, generator=torch.Generator().manual_seed(1))
    (vectors * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(network.table.grad.double(), exact.grad, rtol=1e-3, atol=1e-4)


def test_a_transfer_mixes_the_nodes_of_an_item():
    """Items 7 (three markets), 8 (one), 9 (no edges in the second)."""
    items = np.array([7, 8, 9, 7, 9, 7])
    degrees = np.array([3, 2, 4, 1, 0, 6])
    expected = np.zeros((6, 6))
    own, other = 0.6, 0.4
    for row, column in ((0, 0), (3, 3), (5, 5)):
        expected[row, column] += own / 2
    for row in (0, 3, 5):
        for column in (0, 3, 5):
            expected[row, column] += degrees[column] / 10 / 2
            expected[row, column] += (row != column) * other / 2 / 2
    expected[1, 1] = expected[2, 2] = 1
    expected[4, 4] = own / 2  # sold, never bought: half of it comes from where it was
    expected[4, 2] = other / 2 + 1 / 2
    matrix = transfer_matrix(items, degrees, own)
    np.testing.assert_allclose(matrix.toarray(), expected, atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    assert np.all(matrix.data != 0)


@pytest.mark.parametrize("transfer", [True, False])
def test_gradients_reach_other_markets_through_shared_items_only(split, transfer):
    network, nodes, _ = network_of(split.train, transfer=transfer)
    start = nodes.user_starts[TARGET]
    network()[start : start + 5].sum().backward()
    reached = features_of(nodes, (network.table.grad != 0).any(dim=1).numpy())
    markets = {market for (market, _, _), found in reached.items() if found}
    assert markets == (set(split.train.markets) if transfer else {TARGET})
    sold = {market: set(split.train.catalogue(market).tolist()) for market in nodes.markets}
    only_there = sold["aa"] - sold["bb"] - sold["cc"]
    assert only_there
    # Two layers: an item sold in no other market is three steps away from the target's users.
    assert not any(reached["aa", "item", item] for item in only_there)


def test_dropout_is_for_training_alone(split):
    network, _, _ = network_of(split.train, dropout=0.5)
    with torch.no_grad():
        still = network()
        assert torch.equal(network(), still)
        network.train()
        moved = network()
    assert not torch.equal(moved, still)
    assert torch.equal(moved[:, :4], network.table)


@pytest.mark.parametrize("preset", ["paper", "no-transfer"])
def test_it_learns_what_it_sees(preset):
    model, blocks = fit_blocks(BiTGCF, RATE, preset=preset)
    assert hits_at_one(model, blocks) == 1
    assert ranked_on_top(model, blocks).all()


def test_without_training_it_could_not():
    model, blocks = fit_blocks(BiTGCF, RATE, epochs=0)
    assert ranked_on_top(model, blocks).mean() < 0.5


@pytest.mark.parametrize(
    ("preset", "shared", "changed"),
    [("paper", True, True), ("paper", False, False), ("no-transfer", True, False)],
)
def test_the_source_is_felt_through_shared_items(preset, shared, changed):
    """Other purchases in the source, everything else the same; propagation only, no learning."""
    data = two_markets(shared=shared)
    scores = []
    for train in (data, relabelled(data, "aa")):
        model = build_tiny(BiTGCF, RunOptions(seed=1, threads=1), preset, epochs=0, init_std=0.5)
        scores.append(model.fit(train, target=TARGET).score(np.arange(10)))
    assert np.allclose(*scores, rtol=1e-5, atol=1e-7) != changed


def test_one_training_serves_every_target(split, options):
    fits = []
    for target in split.train.markets:
        model = build_tiny(BiTGCF, options).fit(split.train, target=target, valid=split.valid)
        fits.append(model)
    assert len(options.memory) == 1
    assert fits[0].score(np.arange(2)).shape != fits[2].score(np.arange(2)).shape
    nodes = sum(
        len(split.train.users(m)) + len(split.train.catalogue(m)) for m in fits[0].train.markets
    )
    assert {model.num_trainable() for model in fits} == {nodes * 8}


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_known_user_without_a_vector_of_its_own_is_its_history(
    split, options, num_layers, similarity
):
    values = {"num_layers": num_layers, "similarity": similarity, "init_std": 0.5}
    model = build_tiny(BiTGCF, options, values=values).fit(split.train, target=TARGET)
    (fitted,) = options.memory.values()
    nodes = map_domains(split.train, [[market] for market in split.train.markets])
    user = 3
    with torch.no_grad():
        fitted.network.table[nodes.user_nodes(TARGET, np.array([user]))] = 0
    model.set_history(split.train)
    history = split.train.matrix(TARGET)[[user]]
    np.testing.assert_allclose(
        model.score_histories(history), model.score(np.array([user])), rtol=1e-4, atol=1e-5
    )


def test_a_history_of_items_sold_elsewhere_tells_nothing(split, options):
    model = build_tiny(BiTGCF, options).fit(split.train, target=TARGET)
    item = split.train.items.rows(["i00"])
    history = csr_array(([1.0], ([0], item)), shape=(1, len(split.train.items)))
    assert not model.score_histories(history).any()


def test_a_longer_history_changes_the_graph_but_not_what_was_learned(split, options):
    model = build_tiny(BiTGCF, options).fit(split.train, target=TARGET)
    before = model.score(np.arange(5))
    model.set_history(split.refit().train)
    assert not np.allclose(model.score(np.arange(5)), before)
    model.set_history(split.train)
    np.testing.assert_array_equal(model.score(np.arange(5)), before)


@pytest.mark.usefixtures("best_at_two")
def test_settled_epochs_are_those_of_the_best_state(split, options):
    model = build_tiny(BiTGCF, options, epochs=7)
    model.fit(split.train, target=TARGET, valid=split.valid)
    assert model.settled().get_config() == {**model.get_config(), "epochs": 2}


def test_the_read_out_has_layer_0_as_it_is_and_the_others_at_unit_length():
    layers = [torch.tensor([[3.0, 4.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 2.0]])]
    expected = torch.tensor([[3.0, 4.0, 0.6, 0.8, 0.0, 1.0]])
    torch.testing.assert_close(read_out(layers), expected)
