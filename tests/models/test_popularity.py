"""Counts of sales, plain and decayed."""

import numpy as np
import pytest
from tests.toys import DAY, TARGET, dataset_of

from crossmarket.errors import DataError
from crossmarket.models.popularity import DecayedPopularity, Popularity


def test_plain_counts_of_the_target(split, options):
    model = Popularity.from_config({"markets": "target"}, options=options)
    scores = model.fit(split.train, target=TARGET).score(np.array([0, 3]))
    edges = split.train.edges(TARGET)
    expected = [int((edges.items == item).sum()) for item in split.train.catalogue(TARGET)]
    assert scores.tolist() == [expected, expected]


def test_counts_of_all_markets(split, options):
    model = Popularity.from_config({"markets": "all"}, options=options)
    scores = model.fit(split.train, target=TARGET).score(np.array([1]))
    counts = sum(split.train.matrix(market).sum(axis=0) for market in split.train.markets)
    np.testing.assert_array_equal(scores[0], counts[split.train.catalogue(TARGET)])


@pytest.mark.parametrize(("markets", "names"), [("target", ["uk"]), ("all", ["de", "uk"])])
def test_an_interaction_halves_with_each_half_life(markets, names):
    rows = [
        ("uk", "ann", "a", 1.0, 0),
        ("uk", "bob", "a", 1.0, 50 * DAY),
        ("uk", "bob", "b", 5.0, 90 * DAY),
        ("de", "ann", "a", 1.0, 100 * DAY),
        ("de", "ann", "c", 1.0, 70 * DAY),
    ]
    values = {"markets": markets, "half_life": 20.0}
    model = DecayedPopularity.from_config(values).fit(dataset_of(rows), target="uk")
    newest = 100 * DAY  # of all markets: time passes in quiet markets too
    expected = {"a": 0.0, "b": 0.0}
    for market, _, item, _, time in rows:
        if market in names and item in expected:
            expected[item] += 2 ** (-(newest - time) / DAY / 20)
    np.testing.assert_allclose(model.score(np.array([0]))[0], list(expected.values()), rtol=1e-6)


def test_a_long_half_life_gives_the_plain_counts(split, options):
    decayed = DecayedPopularity.from_config({"half_life": 1e9}, options=options)
    plain = Popularity.from_config(options=options)
    first, second = (m.fit(split.train, target=TARGET).score([0]) for m in (decayed, plain))
    np.testing.assert_allclose(first, second, rtol=1e-5)


def test_decay_without_times_names_the_market():
    data = dataset_of([("uk", "ann", "a", 1.0, 5), ("uk", "bob", "a")])
    with pytest.raises(DataError, match="market 'uk' lacks some; map a timestamp column"):
        DecayedPopularity().fit(data, target="uk")
