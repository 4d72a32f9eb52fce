"""Labelled pairs: each positive with its negatives, and the ways markets share an epoch."""

import numpy as np
import pytest
from tests.toys import MARKETS

from crossmarket.graph.bipartite import map_nodes
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.sampling import PositiveSampler


@pytest.fixture(scope="module")
def positives(split):
    return PositiveSampler(split.train, map_nodes(split.train, split.train.markets))


def epoch(sampler, size=60, seed=0):
    return list(sampler.batches(size, np.random.default_rng(seed)))


def pairs(positives):
    items = positives.items - positives.nodes.num_users
    return list(zip(positives.users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize("sampling", ["proportional", "equal", "one"])
def test_each_positive_is_followed_by_unseen_items_of_its_market(split, positives, sampling):
    sampler = ExampleSampler(positives, 4, sampling=sampling)
    known = set(pairs(positives))
    sold = [split.train.catalogue(market) for market in split.train.markets]
    for batch in epoch(sampler):
        users = batch.users.numpy().reshape(-1, 5)
        items = batch.items.numpy().reshape(-1, 5)
        labels = batch.labels.numpy().reshape(-1, 5)
        assert (users == users[:, :1]).all()
        assert (labels == [1, 0, 0, 0, 0]).all()
        rows = positives.nodes.items[items]
        for start, end, market in batch.runs:
            assert start % 5 == end % 5 == 0
            inside = slice(start // 5, end // 5)
            assert np.isin(rows[inside], sold[market]).all()
        for user, row in zip(users[:, 0].tolist(), items.tolist(), strict=True):
            assert (user, row[0]) in known
            assert not {(user, item) for item in row[1:]} & known


@pytest.mark.parametrize("sampling", ["proportional", "one"])
def test_an_epoch_holds_every_positive_once(positives, sampling):
    found = []
    for batch in epoch(ExampleSampler(positives, 2, sampling=sampling), size=30):
        assert len(batch) <= 30
        kept = batch.labels == 1
        found += zip(batch.users[kept].tolist(), batch.items[kept].tolist(), strict=True)
        if sampling == "one":
            assert len(batch.runs) == 1
    assert sorted(found) == sorted(pairs(positives))


def test_equal_sampling_takes_as_much_of_each_market_in_every_step(split, positives):
    batches = epoch(ExampleSampler(positives, 1, sampling="equal"), size=24)
    for batch in batches:
        assert [(end - start) // 2 for start, end, _ in batch.runs] == [4, 4, 4]
    largest = max(len(split.train.edges(market)) for market in MARKETS)
    assert len(batches) == -(-largest // 4)
    # A small market starts over: all its positives come before any comes again.
    seen = [
        (user, item)
        for batch in batches
        for user, item, label in zip(
            batch.users.tolist(), batch.items.tolist(), batch.labels, strict=True
        )
        if label == 1
    ]
    counts = {pair: seen.count(pair) for pair in pairs(positives)}
    for start, market in zip(np.unique(positives.markets), MARKETS, strict=True):
        own = [
            counts[pair]
            for pair, of in zip(pairs(positives), positives.markets, strict=True)
            if of == start
        ]
        assert max(own) - min(own) <= 1, market


def test_a_union_pool_reaches_beyond_the_market(split, positives):
    sampler = ExampleSampler(positives, 6, negatives="union")
    beyond = 0
    for batch in epoch(sampler):
        for start, end, market in batch.runs:
            rows = positives.nodes.items[batch.items[start:end].numpy()]
            sold = split.train.catalogue(split.train.markets[market])
            beyond += int((~np.isin(rows, sold)).sum())
        known = set(pairs(positives))
        negative = batch.labels == 0
        drawn = zip(batch.users[negative].tolist(), batch.items[negative].tolist(), strict=True)
        assert not set(drawn) & known
    assert beyond > 0


def test_negatives_are_drawn_anew_and_follow_the_generator(positives):
    sampler = ExampleSampler(positives, 3)
    first, again, other = (epoch(sampler, seed=seed) for seed in (0, 0, 1))
    assert [b.items.tolist() for b in first] == [b.items.tolist() for b in again]
    assert [b.items.tolist() for b in first] != [b.items.tolist() for b in other]
