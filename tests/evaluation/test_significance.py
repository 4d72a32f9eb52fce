"""Paired comparisons against scipy, exact enumerations and hand-made cases."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from scipy import stats

from crossmarket.errors import DataError, UsageError
from crossmarket.evaluation.significance import compare_paired, counts, holm, macro_values


def systems(seed=0, num_users=200):
    rng = np.random.default_rng(seed)
    reference = rng.random(num_users)
    better = reference + rng.normal(0.05, 0.1, num_users)
    same = reference + rng.normal(0, 0.1, num_users)
    worse = reference - rng.random(num_users) * (rng.random(num_users) < 0.3)
    return reference, {"better": better, "same": same, "worse": worse}


def test_agrees_with_scipy_on_each_system():
    reference, others = systems()
    comparisons = compare_paired(reference, others)
    assert [one.name for one in comparisons] == ["better", "same", "worse"]
    for one in comparisons:
        values = others[one.name]
        difference = values - reference
        assert one.num_users == 200
        assert one.mean_difference == pytest.approx(difference.mean(), abs=1e-12)
        t_test = stats.ttest_rel(values, reference)
        assert one.p_value == pytest.approx(t_test.pvalue, rel=1e-6)
        assert one.p_wilcoxon == pytest.approx(stats.wilcoxon(values, reference).pvalue, rel=1e-6)
        assert one.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
        assert (one.wins, one.ties, one.losses) == (
            (difference > 0).sum(),
            (difference == 0).sum(),
            (difference < 0).sum(),
        )
        assert one.low < one.mean_difference < one.high
    by_name = {one.name: one for one in comparisons}
    assert by_name["better"].p_holm < 0.05 < by_name["same"].p_holm
    assert by_name["worse"].mean_difference < 0
    assert by_name["worse"].ties > 100


def test_the_interval_is_the_percentile_bootstrap():
    """The exact bootstrap distribution of four users has 4**4 equally likely resamples."""
    difference = np.array([0.0, 0.1, 0.2, 0.7])
    exact = [np.mean(drawn) for drawn in itertools.product(difference, repeat=4)]
    low, high = np.quantile(exact, [0.1, 0.9])
    (one,) = compare_paired(np.zeros(4), {"a": difference}, confidence=0.8, resamples=20_000)
    assert one.low == pytest.approx(low, abs=0.026)  # the means are multiples of 0.025
    assert one.high == pytest.approx(high, abs=0.026)


def test_the_interval_covers_the_true_mean():
    rng = np.random.default_rng(0)
    samples = {str(sample): rng.normal(0.3, 1, 50) for sample in range(400)}
    intervals = compare_paired(np.zeros(50), samples, resamples=1000)
    covered = np.mean([one.low <= 0.3 <= one.high for one in intervals])
    assert 0.91 <= covered <= 0.975


def test_the_seed_decides_and_blocks_do_not(monkeypatch):
    reference, others = systems()
    first = compare_paired(reference, others, seed=1)
    assert compare_paired(reference, others, seed=1) == first
    assert compare_paired(reference, others, seed=2) != first
    monkeypatch.setattr("crossmarket.evaluation.significance.BLOCK_DRAWS", 1000)
    for blocked, whole in zip(compare_paired(reference, others, seed=1), first, strict=True):
        assert (blocked.low, blocked.high) == pytest.approx((whole.low, whole.high), abs=1e-12)


def test_identical_systems_do_not_differ():
    reference, _ = systems()
    (one,) = compare_paired(reference, {"copy": reference.copy()})
    assert (one.mean_difference, one.low, one.high, one.effect_size) == (0, 0, 0, 0)
    assert one.p_value == one.p_holm == one.p_wilcoxon == 1
    assert (one.wins, one.ties, one.losses) == (0, 200, 0)


def test_noise_in_the_last_bits_is_no_difference():
    reference, _ = systems()
    (one,) = compare_paired(reference, {"copy": reference + 1e-16 * np.arange(200)})
    assert one.ties == 200
    assert one.p_value == one.p_wilcoxon == 1


@pytest.mark.parametrize("shift", [0.25, -0.25])
def test_the_same_shift_for_all_is_certain(shift):
    reference, _ = systems(num_users=40)
    (one,) = compare_paired(reference, {"shifted": reference + shift})
    assert (one.low, one.high) == pytest.approx((shift, shift))
    assert one.effect_size == math.copysign(math.inf, shift)
    assert one.p_value == 0
    assert one.p_wilcoxon < 1e-6


@pytest.mark.parametrize("values", [[], [0.4]])
def test_fewer_than_two_users_prove_nothing(values):
    (one,) = compare_paired(np.zeros(len(values)), {"a": values})
    assert one.num_users == len(values)
    assert one.p_value == one.p_holm == one.p_wilcoxon == 1
    assert all(math.isnan(value) for value in (one.low, one.high, one.effect_size))
    assert one.mean_difference == 0.4 if values else math.isnan(one.mean_difference)


@pytest.mark.parametrize("num_users", range(2, 16))
def test_few_users_raise_no_warning(num_users):
    rng = np.random.default_rng(num_users)
    coarse = rng.integers(0, 2, num_users) / 2
    (one,) = compare_paired(np.full(num_users, 0.5), {"coarse": coarse})
    assert 0 <= one.p_value <= 1
    assert 0 <= one.p_wilcoxon <= 1


def test_nothing_to_compare_gives_nothing():
    assert compare_paired([0.1, 0.2], {}) == []


@pytest.mark.parametrize(
    ("others", "options", "error", "message"),
    [
        ({"a": [1.0]}, {}, UsageError, "'a' has values of 1 users, the reference of 2"),
        ({"a": [[1.0, 2.0]]}, {}, UsageError, "one value per user"),
        ({"a": [1.0, math.nan]}, {}, DataError, "'a' has a value that is not finite"),
        ({"a": [1.0, 2.0]}, {"confidence": 95}, UsageError, "0 < confidence < 1"),
        ({"a": [1.0, 2.0]}, {"resamples": 0}, UsageError, "at least 1 resample"),
    ],
)
def test_what_cannot_be_compared_is_refused(others, options, error, message):
    with pytest.raises(error, match=message):
        compare_paired([1.0, 2.0], others, **options)


def holm_by_hand(p_values):
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted, largest = [0.0] * len(p_values), 0.0
    for step, place in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
        adjusted[place] = largest
    return adjusted


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_steps_down(p_values):
    np.testing.assert_allclose(holm(p_values), holm_by_hand(p_values), rtol=1e-12)


def test_holm_corrects_a_whole_table():
    table = [[0.01, 0.04], [0.03, 0.5]]
    np.testing.assert_allclose(holm(table), [[0.04, 0.09], [0.09, 0.5]])
    assert holm(np.empty((0, 3))).shape == (0, 3)


def test_the_systems_of_a_call_are_one_family():
    comparisons = compare_paired(*systems())
    expected = holm([one.p_value for one in comparisons])
    np.testing.assert_array_equal([one.p_holm for one in comparisons], expected)


@pytest.mark.parametrize("p_value", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_probability(p_value):
    with pytest.raises(DataError, match="between 0 and 1"):
        holm([0.5, p_value])


def test_macro_values_have_the_macro_mean_and_a_stratified_error():
    generator = np.random.default_rng(3)
    markets = np.array(["a"] * 40 + ["b"] * 400 + ["c"] * 7)
    values = generator.random((2, len(markets))) + (markets == "b") * 5.0
    found = macro_values(values, markets)
    strata = [values[:, markets == name] for name in "abc"]
    means = np.mean([own.mean(axis=1) for own in strata], axis=0)
    assert found.mean(axis=1) == pytest.approx(means)
    error = np.sqrt(sum(own.var(axis=1) / own.shape[1] for own in strata)) / 3
    assert found.std(axis=1) / np.sqrt(len(markets)) == pytest.approx(error)
    difference = macro_values(values[0] - values[1], markets)
    assert found[0] - found[1] == pytest.approx(difference)


def test_counts_take_noise_in_the_last_bits_for_a_tie():
    assert counts(np.array([0.1, -0.2, 1e-15, 0.0, -1e-15, 0.3])) == (2, 3, 1)
