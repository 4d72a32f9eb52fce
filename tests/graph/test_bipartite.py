"""The normalised adjacency against its dense definition."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from tests.graph.dense import bipartite_edges, dense_adjacency
from tests.toys import dataset_of

from crossmarket.graph.bipartite import build_graph, map_domains, map_nodes

MARKETS = dataset_of(
    [
        ("de", "ann", "b"),
        ("de", "ann", "d"),
        ("de", "bob", "d"),
        ("uk", "ann", "a"),
        ("uk", "ann", "d"),
        ("uk", "cyd", "c"),
        ("us", "ann", "z"),
    ]
)


def to_dense(graph):
    matrix = np.zeros((graph.num_nodes, graph.num_nodes))
    for node in range(graph.num_nodes):
        for entry in range(graph.offsets[node], graph.offsets[node + 1]):
            matrix[node, graph.neighbours[entry]] += float(graph.values[entry])
    return matrix


@given(bipartite_edges())
@example((np.array([], dtype=np.int64), np.array([], dtype=np.int64), 2, 3))
def test_a_graph_is_its_dense_definition(case):
    graph = build_graph(*case)
    users, _, num_users, num_items = case
    expected = dense_adjacency(*case)
    np.testing.assert_allclose(to_dense(graph), expected, rtol=1e-6, atol=0)
    assert graph.num_nodes == num_users + num_items
    assert graph.degrees.tolist() == (expected > 0).sum(axis=1).tolist()
    assert graph.offsets.dtype == graph.neighbours.dtype == torch.int32
    assert graph.values.dtype == torch.float32
    assert len(graph.neighbours) == 2 * len(users)
    for node in range(graph.num_nodes):
        row = graph.neighbours[graph.offsets[node] : graph.offsets[node + 1]]
        assert row.tolist() == sorted(row.tolist())


def test_every_edge_is_there_in_both_directions_behind_the_users():
    graph = build_graph(np.array([0, 1]), np.array([1, 1]), 3, 2)
    expected = np.zeros((5, 5))
    expected[0, 4] = expected[4, 0] = expected[1, 4] = expected[4, 1] = 1 / np.sqrt(2)
    np.testing.assert_allclose(to_dense(graph), expected, rtol=1e-6)
    assert graph.degrees.tolist() == [1, 1, 0, 0, 2]


def test_a_copy_on_another_device_is_the_same_graph():
    graph = build_graph(np.array([0, 1]), np.array([1, 0]), 2, 2)
    np.testing.assert_array_equal(to_dense(graph.to("cpu")), to_dense(graph))


def test_users_are_apart_and_a_shared_item_is_one_node():
    nodes = map_nodes(MARKETS, ("uk", "de"))
    assert nodes.markets == ("uk", "de")
    assert nodes.user_starts == {"uk": 0, "de": 2}
    assert nodes.num_users == 4
    assert MARKETS.items.take(nodes.items) == ["a", "b", "c", "d"]
    assert nodes.num_nodes == 8
    assert nodes.user_nodes("de", np.array([1, 0])).tolist() == [3, 2]
    assert nodes.item_nodes(MARKETS.items.rows(["d", "a"])).tolist() == [7, 4]


def test_the_merged_graph_holds_the_edges_of_all_its_markets():
    nodes = map_nodes(MARKETS, ("de", "uk"))
    users, items = nodes.edges_of(MARKETS, ("de", "uk"))
    # de: ann 0, bob 1; uk: ann 2, cyd 3; items a 4, b 5, c 6, d 7
    assert list(zip(users.tolist(), items.tolist(), strict=True)) == [
        (0, 5),
        (0, 7),
        (1, 7),
        (2, 4),
        (2, 7),
        (3, 6),
    ]
    expected = dense_adjacency(users, items - 4, 4, 4)
    np.testing.assert_allclose(to_dense(nodes.graph_of(MARKETS)), expected, rtol=1e-6)
    assert nodes.graph_of(MARKETS).degrees[7] == 3


def test_an_item_that_is_sold_without_a_training_edge_is_an_isolated_node():
    edges = MARKETS.edges("uk")
    train = MARKETS.replace_edges({"uk": edges.select(edges.users == 0)})
    nodes = map_nodes(train, ("uk",))
    graph = nodes.graph_of(train)
    assert train.items.take(nodes.items) == ["a", "c", "d"]
    assert graph.degrees.tolist() == [2, 0, 1, 0, 1]


def test_edges_of_some_markets_keep_the_numbers_of_the_whole_map():
    nodes = map_nodes(MARKETS, ("de", "uk"))
    users, items = nodes.edges_of(MARKETS, ("uk",))
    assert users.tolist() == [2, 2, 3]
    assert items.tolist() == [4, 7, 6]


@pytest.mark.parametrize("size", [60_000])
def test_many_nodes_do_not_overflow(size):
    users = np.array([size - 1], dtype=np.int32)
    graph = build_graph(users, users, size, size)
    assert graph.neighbours.tolist() == [2 * size - 1, size - 1]
    assert graph.values.tolist() == [1.0, 1.0]


def test_an_item_has_a_node_in_each_domain_that_sells_it():
    nodes = map_domains(MARKETS, [["uk"], ["us", "de"]])
    assert nodes.markets == ("uk", "us", "de")
    assert nodes.user_starts == {"uk": 0, "us": 2, "de": 3}
    assert nodes.num_users == 5
    assert MARKETS.items.take(nodes.items) == ["a", "c", "d", "b", "d", "z"]
    assert nodes.domains == {"uk": (0, 3), "us": (3, 6), "de": (3, 6)}
    assert nodes.num_nodes == 11
    rows = MARKETS.items.rows(["d"])
    found = {market: nodes.item_nodes(rows, market).tolist() for market in nodes.markets}
    assert found == {"uk": [7], "us": [9], "de": [9]}


def test_the_graph_of_several_domains_is_a_block_for_each():
    domains = [["uk"], ["us", "de"]]
    nodes = map_domains(MARKETS, domains)
    whole = to_dense(nodes.graph_of(MARKETS))
    block_of = np.repeat([0, 1, 0, 1], [2, 3, 3, 3])  # users, then items
    assert not whole[block_of[:, None] != block_of].any()
    for place, markets in enumerate(domains):
        own = np.flatnonzero(block_of == place)
        alone = to_dense(map_nodes(MARKETS, markets).graph_of(MARKETS))
        np.testing.assert_array_equal(whole[np.ix_(own, own)], alone)


def test_one_domain_is_the_merged_graph():
    merged, one = map_nodes(MARKETS, ["de", "uk"]), map_domains(MARKETS, [["de", "uk"]])
    assert one.user_starts == merged.user_starts
    np.testing.assert_array_equal(one.items, merged.items)
    for ours, theirs in zip(
        one.edges_of(MARKETS, ["uk"]), merged.edges_of(MARKETS, ["uk"]), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
