"""Scores of propagated vectors, and users that exist only as a history."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from tests.toys import TARGET, build_tiny

from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.lightgcn import LightGCN
from crossmarket.models.objectives import as_similarity


def fitted(split, options, **values):
    model = build_tiny(LightGCN, options, values={"markets": "merged", **values})
    return model.fit(split.train, target=TARGET)


def table_of(model, split, options):
    """The trained table, found again through the memory that fits share."""
    nodes = map_nodes(split.train, split.train.markets)
    (tables,) = options.memory.values()
    assert tables.nodes.user_starts == nodes.user_starts
    return nodes, tables.layer0


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_scores_are_similarities_of_propagated_vectors(split, options, num_layers, similarity):
    model = fitted(split, options, num_layers=num_layers, similarity=similarity)
    nodes, table = table_of(model, split, options)
    vectors = propagate(nodes.graph_of(split.train), table, num_layers)
    vectors = as_similarity(vectors, similarity)
    users = np.array([4, 0, 7])
    items = split.train.catalogue(TARGET)[[5, 2, 9]]
    own = vectors[nodes.user_nodes(TARGET, users)]
    expected = own @ vectors[nodes.item_nodes(items)].T
    np.testing.assert_allclose(model.score(users, items), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_a_known_user_without_a_vector_of_its_own_is_its_history(
    split, options, num_layers, similarity
):
    """Put the user's row to zero: what is left of its vector comes from its items, as a fold-in."""
    model = fitted(split, options, num_layers=num_layers, similarity=similarity)
    nodes, table = table_of(model, split, options)
    user = 3
    with torch.no_grad():
        table[nodes.user_nodes(TARGET, np.array([user]))] = 0
    model.set_history(split.train)
    history = split.train.matrix(TARGET)[[user]]
    np.testing.assert_allclose(
        model.score_histories(history), model.score(np.array([user])), rtol=1e-4, atol=1e-6
    )


def test_a_folded_in_user_is_the_weighted_sum_of_the_items_lower_layers(split, options):
    num_layers = 3
    model = fitted(split, options, num_layers=num_layers, similarity="dot")
    nodes, table = table_of(model, split, options)
    graph = nodes.graph_of(split.train)
    items = split.train.catalogue(TARGET)[[0, 6, 11]]
    layers, one = [table], table
    for _ in range(num_layers - 1):
        one = 2 * propagate(graph, one, 1) - one  # a single product with the adjacency
        layers.append(one)
    item_nodes = nodes.item_nodes(items)
    roots = graph.degrees[item_nodes].clamp(min=1).sqrt() * len(items) ** 0.5
    user = sum((layer[item_nodes] / roots[:, None]).sum(dim=0) for layer in layers)
    user = user / (num_layers + 1)
    vectors = propagate(graph, table, num_layers)
    expected = vectors[nodes.item_nodes(split.train.catalogue(TARGET))] @ user

    columns = (np.ones(3, dtype=np.float32), (np.zeros(3, dtype=int), items))
    history = csr_array(columns, shape=(1, len(split.train.items)))
    actual = model.score_histories(history)[0]
    np.testing.assert_allclose(actual, expected.numpy(), rtol=1e-4, atol=1e-6)


def test_without_layers_a_bare_history_tells_nothing(split, options):
    model = fitted(split, options, num_layers=0)
    scores = model.score_histories(split.train.matrix(TARGET)[[0]])
    assert not scores.any()


def test_a_longer_history_changes_the_vectors_but_not_what_was_learned(split, options):
    model = fitted(split, options)
    before = model.score(np.arange(5))
    model.set_history(split.refit().train)
    assert not np.allclose(model.score(np.arange(5)), before)
    model.set_history(split.train)
    np.testing.assert_array_equal(model.score(np.arange(5)), before)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_item_vectors_are_what_scores_compare(split, options, similarity):
    model = fitted(split, options, num_layers=2, similarity=similarity)
    nodes, table = table_of(model, split, options)
    items = split.train.catalogue(TARGET)[[7, 0, 3]]
    vectors = as_similarity(propagate(nodes.graph_of(split.train), table, 2), similarity)
    expected = vectors[nodes.item_nodes(items)].numpy()
    np.testing.assert_allclose(model.item_vectors(items), expected, rtol=1e-5, atol=1e-6)
