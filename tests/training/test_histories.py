"""Histories as padded sequences, against a loop over users."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.toys import DAY, dataset_of

from crossmarket.graph.bipartite import map_nodes
from crossmarket.training.histories import Histories, batches_by_length


@pytest.fixture(scope="module")
def nodes(split):
    return map_nodes(split.train, split.train.markets)


@pytest.fixture(scope="module")
def histories(split, nodes):
    return Histories.of(split.train, nodes, split.train.markets)


def by_hand(split, nodes, market, user):
    """Positions of a user's items, oldest first."""
    edges = split.train.edges(market)
    own = np.flatnonzero(edges.users == user)
    order = sorted(own, key=lambda edge: (edges.timestamps[edge], edges.items[edge]))
    return [int(nodes.item_nodes(edges.items[[edge]])[0]) - nodes.num_users for edge in order]


def unpadded(row, pad):
    return [item for item in row.tolist() if item != pad]


def test_histories_hold_training_items_in_order_of_time(split, nodes, histories):
    for market in split.train.markets:
        rows = np.arange(len(split.train.users(market)))
        padded = histories.padded(nodes.user_nodes(market, rows), 50)
        assert padded.shape[1] == max(histories.lengths[nodes.user_nodes(market, rows)])
        for row in rows:
            assert unpadded(padded[row], histories.pad) == by_hand(split, nodes, market, row)
            filled = (padded[row] != histories.pad).tolist()
            assert filled == sorted(filled)  # padding stands on the left


def test_a_candidate_is_never_part_of_the_history_it_is_asked_about(split, nodes):
    histories = Histories.of(split.train, nodes, split.train.markets)
    users, items = nodes.edges_of(split.train, split.train.markets)
    without = items - nodes.num_users
    padded = histories.padded(users, 50, without=without)
    assert not (padded.numpy() == without[:, None]).any()
    whole = histories.padded(users, 50)
    assert (whole.numpy() == without[:, None]).sum() == len(users)
    lengths = (padded.numpy() != histories.pad).sum(axis=1)
    assert np.array_equal(lengths, histories.lengths[users] - 1)


def test_long_histories_keep_the_newest_or_a_draw(split, nodes, histories):
    market = split.train.markets[0]
    users = nodes.user_nodes(market, np.arange(10))
    whole = histories.padded(users, 50)
    newest = histories.padded(users, 3)
    assert newest.shape == (10, 3)
    drawn = histories.padded(users, 3, generator=np.random.default_rng(0))
    different = 0
    for row in range(10):
        items = unpadded(whole[row], histories.pad)
        assert newest[row].tolist() == items[-3:]
        kept = drawn[row].tolist()
        assert kept == [item for item in items if item in kept]
        assert len(set(kept)) == 3
        different += kept != items[-3:]
    assert different > 0


def test_users_without_interactions_have_empty_histories(histories, split, nodes):
    newcomer = nodes.user_nodes("bb", split.train.users("bb").rows(["newcomer"]))
    assert histories.padded(newcomer, 50).tolist() == [[histories.pad]]
    assert histories.padded(newcomer[:0], 50).shape == (0, 1)


def test_other_markets_can_be_left_out(split, nodes):
    only = Histories.of(split.train, nodes, ["bb"])
    assert only.lengths.sum() == len(split.train.edges("bb"))


def test_bare_rows_become_histories(split, nodes):
    matrix = split.train.matrix("bb")[:5]
    found = Histories.of_matrix(matrix, nodes)
    padded = found.padded(np.arange(5), 50)
    for row in range(5):
        items = nodes.item_nodes(np.sort(matrix[[row]].indices)) - nodes.num_users
        assert unpadded(padded[row], found.pad) == items.tolist()


def test_equal_times_stand_in_the_order_of_items():
    data = dataset_of([("aa", "u", item, 1.0, DAY) for item in ("c", "a", "b")])
    nodes = map_nodes(data, ["aa"])
    assert Histories.of(data, nodes, ["aa"]).padded(np.array([0]), 5).tolist() == [[0, 1, 2]]


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 9), st.integers(0, 99))
def test_batches_by_length_hold_every_row_once(lengths, size, seed):
    batches = list(batches_by_length(np.array(lengths, int), size, np.random.default_rng(seed)))
    rows = np.concatenate([*batches, np.zeros(0, int)])
    assert sorted(rows.tolist()) == list(range(len(lengths)))
    assert all(len(batch) <= size for batch in batches)


def test_batches_by_length_pad_less_than_chance():
    lengths = np.random.default_rng(0).geometric(0.1, size=4000)

    def padding(batches):
        return sum(lengths[batch].max() * len(batch) for batch in batches) - lengths.sum()

    ours = padding(batches_by_length(lengths, 50, np.random.default_rng(1)))
    chance = padding(np.split(np.random.default_rng(1).permutation(4000), 80))
    assert ours < chance / 10


def test_equal_times_come_in_a_new_order_and_others_never(split):
    days = [1, 1, 1, 2, 2, 3]
    data = dataset_of([("aa", "u", f"i{item}", 1.0, DAY * day) for item, day in enumerate(days)])
    nodes = map_nodes(data, ["aa"])
    assert Histories.of(data, nodes, ["aa"]).items.tolist() == [0, 1, 2, 3, 4, 5]
    generator = np.random.default_rng(0)
    orders = {
        tuple(Histories.of(data, nodes, ["aa"], ties=generator).items.tolist()) for _ in range(200)
    }
    assert len(orders) == 6 * 2
    for order in orders:
        assert [days[item] for item in order] == days
