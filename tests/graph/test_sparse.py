"""Products of sparse matrices, which need not be symmetric, and their gradients."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from crossmarket.graph.sparse import SparseMatrix, normalise_rows


@pytest.fixture
def dense():
    rng = np.random.default_rng(2)
    matrix = rng.random((7, 5)) * (rng.random((7, 5)) < 0.4)
    matrix[3] = 0
    return matrix.astype(np.float32)


def test_a_product_and_its_gradient(dense):
    generator = torch.Generator().manual_seed(0)
    table = torch.randn((5, 3), generator=generator, requires_grad=True)
    found = SparseMatrix.of(csr_array(dense), "cpu") @ table
    np.testing.assert_allclose(found.detach(), dense @ table.detach().numpy(), rtol=1e-5, atol=1e-6)
    weights = torch.randn(found.shape, generator=generator)
    (found * weights).sum().backward()
    np.testing.assert_allclose(table.grad, dense.T @ weights.numpy(), rtol=1e-5, atol=1e-6)


def test_rows_sum_to_one_and_empty_ones_stay_empty(dense):
    matrix = csr_array(dense)
    found = normalise_rows(matrix).toarray()
    filled = dense.sum(axis=1) > 0
    assert not filled[3]
    assert filled.any()
    expected = dense[filled] / dense[filled].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found[filled], expected, rtol=1e-6)
    assert not found[~filled].any()
    np.testing.assert_array_equal(matrix.toarray(), dense)
