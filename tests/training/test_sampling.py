"""Batches of positives, and negatives from the right market that nobody has seen."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from tests.toys import dataset_of

from crossmarket.graph.bipartite import map_nodes
from crossmarket.training.sampling import PositiveSampler


@pytest.fixture(scope="module")
def train(split):
    return split.train


@pytest.fixture(scope="module")
def sampler(train):
    return PositiveSampler(train, map_nodes(train, train.markets))


def market_of(sampler, user):
    starts = sampler.nodes.user_starts
    return max((market for market in starts if starts[market] <= user), key=starts.get)


def sold(train, sampler, market):
    return set(sampler.nodes.item_nodes(train.catalogue(market)).tolist())


def positives(sampler):
    return set(zip(sampler.users.tolist(), sampler.items.tolist(), strict=True))


@settings(max_examples=30)
@given(size=st.integers(1, 300), seed=st.integers(0, 2**32))
def test_an_epoch_holds_every_positive_exactly_once(split, size, seed):
    sampler = PositiveSampler(split.train, map_nodes(split.train, split.train.markets))
    batches = list(sampler.batches(size, np.random.default_rng(seed)))
    drawn = [
        pair
        for batch in batches
        for pair in zip(batch.users.tolist(), batch.items.tolist(), strict=True)
    ]
    assert len(drawn) == len(sampler) == split.train.num_interactions
    assert set(drawn) == positives(sampler)
    sizes = [len(batch.users) for batch in batches]
    assert sizes[:-1] == [size] * (len(batches) - 1)
    for batch in batches:
        assert batch.bounds[0][0] == 0
        assert batch.bounds[-1][1] == len(batch.users)
        for (_, end, _), (start, _, _) in zip(batch.bounds[:-1], batch.bounds[1:], strict=True):
            assert end == start
        for start, end, market in batch.bounds:
            names = {market_of(sampler, user) for user in batch.users[start:end].tolist()}
            assert names == {split.train.markets[market]}


def test_epochs_are_shuffled_by_the_generator_alone(sampler):
    def order(seed):
        return [b.users.tolist() for b in sampler.batches(50, np.random.default_rng(seed))]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_pairwise_negatives_are_unseen_items_of_the_users_market(train, sampler):
    seen = positives(sampler)
    rng = np.random.default_rng(0)
    count = 0
    for batch in sampler.batches(40, rng):
        negatives = sampler.pairwise(batch, 5, rng)
        assert negatives.shape == (len(batch.users), 5)
        for user, row in zip(batch.users.tolist(), negatives.tolist(), strict=True):
            assert set(row) <= sold(train, sampler, market_of(sampler, user))
            assert not {(user, item) for item in row} & seen
            count += len(row)
    assert count == 5 * len(sampler)


def test_held_out_items_may_be_negatives(split, sampler):
    """To leave them out would tell which items are held out."""
    market = "bb"
    nodes = sampler.nodes
    held_out = split.test.edges(market)
    user = int(nodes.user_nodes(market, held_out.users[:1])[0])
    item = int(nodes.item_nodes(held_out.items[:1])[0])
    pool = nodes.item_nodes(split.train.catalogue(market))
    drawn = sampler.draw_unseen(np.array([user]), pool, 500, np.random.default_rng(0))
    assert item in drawn


def test_unseen_items_are_drawn_uniformly(sampler):
    user = int(sampler.users[0])
    own = {item for someone, item in positives(sampler) if someone == user}
    pool = sampler.pools[0]
    drawn = sampler.draw_unseen(np.array([user]), pool, 20_000, np.random.default_rng(0))
    unseen = sorted(set(pool.tolist()) - own)
    found, counts = np.unique(drawn, return_counts=True)
    assert found.tolist() == unseen
    share = 1 / len(unseen)
    error = np.sqrt(share * (1 - share) / 20_000)
    assert np.abs(counts / 20_000 - share).max() < 4.5 * error


def test_a_user_who_has_everything_still_gets_a_draw():
    data = dataset_of([("de", "all", "a"), ("de", "all", "b"), ("de", "one", "a")])
    sampler = PositiveSampler(data, map_nodes(data, ("de",)))
    drawn = sampler.draw_unseen(np.array([0, 1]), sampler.pools[0], 50, np.random.default_rng(0))
    assert set(drawn[0].tolist()) <= {2, 3}
    assert set(drawn[1].tolist()) == {3}


def test_the_same_generator_gives_the_same_draws(sampler):
    def draw(seed):
        rng = np.random.default_rng(seed)
        batch = next(sampler.batches(60, rng))
        shared = sampler.shared(batch, 7, rng)
        return [
            sampler.pairwise(batch, 3, rng).tolist(),
            {m: v.tolist() for m, v in shared.items()},
        ]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


def test_shared_negatives_come_from_each_market_of_the_batch(train, sampler):
    rng = np.random.default_rng(0)
    batch = next(sampler.batches(200, rng))
    shared = sampler.shared(batch, 40, rng)
    assert list(shared) == [market for _, _, market in batch.bounds]
    for market, items in shared.items():
        assert items.shape == (40,)
        assert set(items.tolist()) <= sold(train, sampler, train.markets[market])


def test_is_positive_is_membership(sampler):
    users = np.arange(sampler.nodes.num_users)
    items = np.arange(sampler.nodes.num_users, sampler.nodes.num_nodes)
    known = sampler.is_positive(users[:, None], items[None, :])
    expected = np.zeros(known.shape, dtype=bool)
    expected[sampler.users, sampler.items - sampler.nodes.num_users] = True
    np.testing.assert_array_equal(known, expected)


def test_some_markets_only(train):
    nodes = map_nodes(train, train.markets)
    sampler = PositiveSampler(train, nodes, ["cc"])
    assert len(sampler) == len(train.edges("cc"))
    assert {market_of(sampler, user) for user in sampler.users.tolist()} == {"cc"}
    batch = next(sampler.batches(10, np.random.default_rng(0)))
    assert batch.bounds == [(0, 10, 0)]
    negatives = sampler.pairwise(batch, 3, np.random.default_rng(0))
    assert set(negatives.ravel().tolist()) <= sold(train, sampler, "cc")
