"""Coverage, Gini and popularity bias of lists, by hand and by definition."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from crossmarket.errors import UsageError
from crossmarket.metrics.lists import coverage, gini, popularity_bias

LISTS = np.array([[0, 1], [1, 3], [1, -1], [-1, -1]])


def test_coverage_counts_distinct_items():
    assert coverage(LISTS, 6) == 3 / 6
    assert coverage(np.full((2, 3), -1), 6) == 0
    assert coverage(np.empty((0, 3), dtype=np.int64), 6) == 0


def test_gini_of_equal_and_of_concentrated_exposure():
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert gini(np.full((5, 1), 2), 4) == 3 / 4
    assert math.isnan(gini(np.full((5, 1), -1), 4))


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, array_shapes(min_dims=2, max_dims=2), elements=st.integers(0, 6)))
def test_gini_is_the_mean_absolute_difference(lists):
    exposure = np.bincount(lists.ravel(), minlength=7)
    spread = np.abs(exposure[:, None] - exposure[None, :]).mean()
    assert gini(lists, 7) == pytest.approx(spread / (2 * exposure.mean()), abs=1e-12)


def test_popularity_bias_is_relative_to_the_catalogue():
    counts = np.array([10, 20, 0, 30])
    # Means of the filled lists: (10 + 20) / 2, (20 + 30) / 2, 20; the catalogue's mean is 15.
    assert popularity_bias(LISTS, counts) == pytest.approx((15 + 25 + 20) / 3 / 15)


def test_popularity_bias_of_the_whole_catalogue_is_one():
    assert popularity_bias(np.arange(5)[None], np.array([5, 0, 1, 9, 2])) == pytest.approx(1)


@pytest.mark.parametrize(
    ("lists", "counts"), [(np.full((2, 2), -1), [1, 2]), (np.array([[0, 1]]), [0, 0])]
)
def test_popularity_bias_without_lists_or_counts_is_unknown(lists, counts):
    assert math.isnan(popularity_bias(lists, np.array(counts)))


@pytest.mark.parametrize("item", [6, -2])
def test_an_item_outside_the_catalogue_is_refused(item):
    for measure in (coverage, gini):
        with pytest.raises(UsageError, match=r"outside 0 \.\.\. 5"):
            measure(np.array([[0, item]]), 6)
    with pytest.raises(UsageError, match=r"outside 0 \.\.\. 5"):
        popularity_bias(np.array([[0, item]]), np.ones(6))


def test_an_empty_catalogue_is_refused():
    with pytest.raises(UsageError, match="empty catalogue"):
        coverage(np.empty((0, 3), dtype=np.int64), 0)
