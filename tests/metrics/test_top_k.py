"""The k best candidates of each user, with a unique answer."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from crossmarket.errors import DataError, UsageError
from crossmarket.metrics.ranking import top_k


def reference(row, k):
    order = sorted((-score, column) for column, score in enumerate(row) if score != -np.inf)[:k]
    missing = k - len(order)
    items = [column for _, column in order] + [-1] * missing
    return items, [-score for score, _ in order] + [-np.inf] * missing


@settings(max_examples=200, deadline=None)
@given(
    arrays(
        st.sampled_from([np.float32, np.float64]),
        array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
        elements=st.sampled_from([-np.inf, -1.0, -0.0, 0.0, 1.0, 7.0, np.inf]),
    ),
    st.integers(1, 11),
)
def test_as_a_full_sort_by_score_then_column(scores, k):
    items, best = top_k(scores, k)
    assert items.shape == best.shape == (len(scores), k)
    assert items.dtype == np.int64
    assert best.dtype == scores.dtype
    for row in range(len(scores)):
        expected_items, expected_scores = reference(scores[row], k)
        assert items[row].tolist() == expected_items
        assert best[row].tolist() == expected_scores


def test_scores_are_left_as_they_are():
    scores = np.random.default_rng(0).integers(0, 9, size=(40, 25)).astype(np.float32)
    before = scores.copy()
    top_k(scores, 6)
    np.testing.assert_array_equal(scores, before)


def test_a_list_of_length_zero_is_refused():
    with pytest.raises(UsageError, match="k=0"):
        top_k(np.zeros((1, 3)), 0)


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(DataError, match="row 0, candidate 2 is not a number"):
        top_k(np.array([[1.0, 2.0, np.nan]]), 1)
