"""Walks over items against the definition `P = Deg^-1 A` with `A = X^T X`."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from tests.toys import dataset_of

from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.walks import ItemWalks, co_occurrence, stacked_matrix


@pytest.fixture
def matrix():
    """Users x items; nobody bought the last item with another."""
    rows = [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]
    return np.array(rows, dtype=np.float32)


def test_items_are_linked_by_the_users_they_share(matrix):
    shared = co_occurrence(csr_array(matrix)).toarray()
    expected = matrix.T @ matrix
    np.fill_diagonal(expected, 0)
    np.testing.assert_array_equal(shared, expected)
    assert shared[0, 1] == 2


def test_users_of_all_markets_are_stacked_over_the_items_of_these_markets():
    data = dataset_of([("aa", "u", "a"), ("aa", "u", "b"), ("bb", "u", "b"), ("cc", "u", "c")])
    whole = stacked_matrix(data, map_nodes(data, ["aa", "bb"])).toarray()
    np.testing.assert_array_equal(whole, [[1, 1], [0, 1]])
    alone = stacked_matrix(data, map_nodes(data, ["bb"])).toarray()
    np.testing.assert_array_equal(alone, [[1]])


def test_steps_follow_the_transition_probabilities(matrix):
    shared = co_occurrence(csr_array(matrix))
    walks = ItemWalks.of(shared)
    dense = shared.toarray()
    np.testing.assert_array_equal(walks.degrees, dense.sum(axis=1))
    starts = np.repeat(np.arange(4), 10_000)
    drawn = walks.draw(starts, 6, np.random.default_rng(1))
    assert drawn.shape == (len(starts), 6)
    np.testing.assert_array_equal(drawn[:, 0], starts)
    counts = np.zeros((4, 4))
    np.add.at(counts, (drawn[:, :-1].ravel(), drawn[:, 1:].ravel()), 1)
    expected = dense[:4, :4] / dense[:4, :4].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), expected, atol=0.02)


def test_a_walk_depends_on_the_generator_alone(matrix):
    walks = ItemWalks.of(co_occurrence(csr_array(matrix)))
    first, same, other = (
        walks.draw(np.arange(4), 9, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).any()
