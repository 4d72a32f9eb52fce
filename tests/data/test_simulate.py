import os
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError

from crossmarket.data.simulate import MIN_INTERACTIONS, SimulatedMarket, SimulationConfig, simulate


def market(name, users=40, mean=8.0):
    return SimulatedMarket(name=name, users=users, interactions_per_user=mean)


SMALL = SimulationConfig(markets=(market("aa"), market("bb", users=25)), num_items=120)


@pytest.fixture(scope="module")
def default():
    return simulate()


@pytest.fixture(scope="module")
def small():
    return simulate(SMALL)


def test_the_default_is_small_and_fit_for_splits(default):
    data = default.dataset
    assert data.markets == ("de", "jp", "mx", "uk", "us")
    assert data.num_interactions <= 25_000
    assert data.has_timestamps
    for config in SimulationConfig().markets:
        edges = data.edges(config.name)
        counts = np.bincount(edges.users)
        assert len(counts) == config.users
        assert counts.min() >= MIN_INTERACTIONS
        assert counts.mean() == pytest.approx(config.interactions_per_user, rel=0.15)


def test_same_seed_same_data(small):
    assert simulate(SMALL).dataset.fingerprint == small.dataset.fingerprint
    other = simulate(SMALL.model_copy(update={"seed": 1}))
    assert other.dataset.fingerprint != small.dataset.fingerprint


def test_same_data_in_another_process(default):
    code = "from crossmarket.data.simulate import simulate; print(simulate().dataset.fingerprint)"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == default.dataset.fingerprint


def test_a_market_does_not_depend_on_the_others(small):
    alone = simulate(
        SMALL.model_copy(update={"markets": (SMALL.markets[0], market("cc", users=3))})
    )
    mine, theirs = (run.dataset.to_frame().filter(market="aa") for run in (small, alone))
    assert mine.equals(theirs)


def test_times_lie_in_the_history_and_grow(default):
    times = np.concatenate([default.dataset.edges(m).timestamps for m in default.dataset.markets])
    start = int(np.datetime64("2022-01-01", "s").astype(np.int64))
    assert times.min() >= start
    assert times.max() < start + 720 * 86_400
    assert np.mean(times > start + 360 * 86_400) > 0.6


def test_probabilities_are_aligned_distributions(small):
    for name in small.dataset.markets:
        chances = small.truth.probabilities(name)
        users, items = len(small.dataset.users(name)), len(small.dataset.catalogue(name))
        assert chances.shape == (users, items)
        assert chances.min() > 0
        np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-12)


def test_purchases_follow_the_probabilities():
    """First purchases of many users are bought as often as their probabilities say."""
    config = SimulationConfig(
        markets=(market("aa", users=4000, mean=5),), num_items=20, duplicate_pairs=0
    )
    run = simulate(config)
    edges = run.dataset.edges("aa")
    chances = run.truth.probabilities("aa")
    bought = np.zeros_like(chances)
    bought[edges.users, np.searchsorted(run.dataset.catalogue("aa"), edges.items)] = 1
    # Over purchases without replacement the ranking of items by expected demand stays.
    expected, seen = chances.mean(axis=0), bought.mean(axis=0)
    assert np.corrcoef(expected.argsort().argsort(), seen.argsort().argsort())[0, 1] > 0.95
    likely = chances > 0.5
    assert likely.sum() > 100
    assert bought[likely].mean() > 0.95


def ndcg(scores, seen, held_out):
    scores = np.where(seen, -np.inf, scores)
    discounts = 1 / np.log2(np.arange(2, 12))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    values = []
    for user in np.flatnonzero(held_out.any(axis=1)):
        ideal = discounts[: min(10, held_out[user].sum())].sum()
        values.append((held_out[user, best[user]] * discounts).sum() / ideal)
    return float(np.mean(values))


def held_out_matrices(data, name, random):
    edges, catalogue = data.edges(name), data.catalogue(name)
    columns = np.searchsorted(catalogue, edges.items)
    test = random.random(len(edges)) < 0.1
    matrices = np.zeros((2, len(data.users(name)), len(catalogue)), dtype=bool)
    matrices[test.astype(int), edges.users, columns] = True
    return matrices


def test_personal_taste_beats_popularity_clearly(default):
    random = np.random.default_rng(0)
    for name in ("us", "uk", "de"):
        seen, held_out = held_out_matrices(default.dataset, name, random)
        popular = np.broadcast_to(seen.sum(axis=0), seen.shape)
        oracle = ndcg(default.truth.probabilities(name), seen, held_out)
        assert oracle > 1.5 * ndcg(popular, seen, held_out)
        assert oracle > 0.15


def test_other_markets_teach_a_small_one(default):
    """Item neighbours from all markets rank better in the tiny markets than their own do."""
    random = np.random.default_rng(0)
    data = default.dataset
    split = {name: held_out_matrices(data, name, random) for name in data.markets}
    wide = {}
    for name, (seen, _) in split.items():
        wide[name] = np.zeros((len(seen), len(data.items)))
        wide[name][:, data.catalogue(name)] = seen

    def neighbours(rows):
        lengths = np.maximum(np.sqrt(rows.sum(axis=0)), 1)
        similarity = rows.T @ rows / lengths / lengths[:, None]
        np.fill_diagonal(similarity, 0)
        return similarity

    everyone = neighbours(np.concatenate(list(wide.values())))
    gains = []
    for name in ("mx", "jp"):
        seen, held_out = split[name]
        catalogue = data.catalogue(name)
        pooled = ndcg((wide[name] @ everyone)[:, catalogue], seen, held_out)
        own = ndcg((wide[name] @ neighbours(wide[name]))[:, catalogue], seen, held_out)
        gains.append(pooled - own)
    assert np.mean(gains) > 0.01


def test_duplicates_are_wanted_by_the_same_users(default):
    data, truth = default.dataset, default.truth
    assert len(truth.duplicate_pairs) == 20
    chances = np.log(truth.probabilities("us"))
    column = {name: at for at, name in enumerate(data.items.take(data.catalogue("us")))}
    both = [pair for pair in truth.duplicate_pairs if all(item in column for item in pair)]
    assert len(both) >= 3
    for left, right in both:
        assert np.corrcoef(chances[:, column[left]], chances[:, column[right]])[0, 1] > 0.99


def test_similarity_falls_with_the_shifts():
    def mean_similarity(**shifts):
        run = simulate(SMALL.model_copy(update=shifts))
        assert run.truth.markets == run.dataset.markets
        np.testing.assert_allclose(np.diag(run.truth.similarity), 1)
        return run.truth.similarity[0, 1]

    same = mean_similarity(popularity_shift=0.0, taste_shift=0.0)
    far = mean_similarity(popularity_shift=2.0, taste_shift=1.5)
    assert same > 0.8
    assert far < same - 0.2


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_shared_items_set_the_overlap(shared):
    markets = (market("aa", users=300), market("bb", users=300))
    update = {"markets": markets, "shared_items": shared, "sold_elsewhere": 0.2}
    config = SMALL.model_copy(update=update)
    data = simulate(config).dataset
    both = np.intersect1d(data.catalogue("aa"), data.catalogue("bb"))
    share = len(both) / len(data.items)
    assert share > 0.9 if shared else share < 0.25


def test_a_market_that_sells_next_to_nothing_still_works():
    config = SimulationConfig(
        markets=(market("aa"), market("bb", users=2, mean=30)),
        num_items=40,
        shared_items=0.0,
        sold_elsewhere=0.0,
        duplicate_pairs=0,
    )
    data = simulate(config).dataset
    assert len(data.users("bb")) == 2
    assert MIN_INTERACTIONS <= np.bincount(data.edges("bb").users).max() <= 10


def test_truth_as_json(small):
    facts = small.truth.to_dict()
    assert facts["markets"] == ["aa", "bb"]
    assert len(facts["duplicate_pairs"]) == SMALL.duplicate_pairs
    assert facts["similarity"][0][0] == 1.0


@pytest.mark.parametrize(
    "fields",
    [
        {"sead": 1},
        {"markets": ()},
        {"markets": (market("aa"), market("aa"))},
        {"duplicate_pairs": 500},
        {"shared_items": 1.5},
    ],
)
def test_configurations_that_make_no_sense(fields):
    with pytest.raises(ValidationError):
        SimulationConfig(**fields)


def test_every_field_is_described():
    for model in (SimulationConfig, SimulatedMarket):
        assert all(field.description for field in model.model_fields.values())
