"""EASE against the inverse that defines it."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from tests.toys import TARGET

from crossmarket.errors import CrossmarketError
from crossmarket.models.ease import Ease, solve_ease


def weights_by_inverse(matrix, reg):
    """Off the diagonal `-C_ij / C_jj` with C the inverse of the regularised Gram matrix."""
    inverse = np.linalg.inv(matrix.T @ matrix + reg * np.eye(matrix.shape[1]))
    weights = np.empty_like(inverse)
    for row in range(len(inverse)):
        for column in range(len(inverse)):
            weights[row, column] = -inverse[row, column] / inverse[column, column]
    np.fill_diagonal(weights, 0)
    return weights


@pytest.mark.parametrize("reg", [0.5, 20.0, 500.0])
def test_the_closed_form(reg):
    matrix = (np.random.default_rng(0).random((40, 15)) < 0.3).astype(np.float64)
    weights = solve_ease(csr_array(matrix), reg)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, weights_by_inverse(matrix, reg), rtol=1e-5, atol=1e-7)


def test_it_minimises_the_regularised_squared_error_under_a_zero_diagonal():
    """Checked without the formula: each column is a ridge regression on the other items."""
    matrix = (np.random.default_rng(1).random((30, 6)) < 0.4).astype(np.float64)
    weights = solve_ease(csr_array(matrix), 2.0)
    for column in range(6):
        others = np.delete(np.arange(6), column)
        inputs = matrix[:, others]
        ridge = np.linalg.solve(inputs.T @ inputs + 2 * np.eye(5), inputs.T @ matrix[:, column])
        np.testing.assert_allclose(weights[others, column], ridge, rtol=1e-5, atol=1e-6)


def test_a_matrix_that_cannot_be_solved_is_refused():
    with pytest.raises(CrossmarketError, match="raise its reg"):
        solve_ease(csr_array((3, 2)), 0.0)


@pytest.mark.parametrize("markets", ["target", "merged"])
def test_scores_are_histories_times_weights(split, options, markets):
    train = split.train
    model = Ease.from_config({"markets": markets, "reg": 3.0}, options=options)
    model.fit(train, target=TARGET)
    names = train.markets if markets == "merged" else (TARGET,)
    stacked = np.vstack([train.matrix(name).toarray() for name in names]).astype(np.float64)
    # An item without any row counts for nothing and predicts nothing, so it may stay in.
    expected = train.matrix(TARGET).toarray() @ weights_by_inverse(stacked, 3.0)
    users = np.arange(len(train.users(TARGET)))
    catalogue = train.catalogue(TARGET)
    np.testing.assert_allclose(model.score(users), expected[:, catalogue], rtol=1e-4, atol=1e-6)


def test_one_solution_serves_all_targets(split, options, monkeypatch):
    from crossmarket.models import ease

    calls = []
    monkeypatch.setattr(ease, "solve_ease", lambda *args: calls.append(1) or solve_ease(*args))
    for target in split.train.markets:
        Ease.from_config({"markets": "merged"}, options=options).fit(split.train, target=target)
    assert len(calls) == 1
    Ease.from_config({"markets": "merged", "reg": 1.0}, options=options).fit(
        split.train, target=TARGET
    )
    assert len(calls) == 2
