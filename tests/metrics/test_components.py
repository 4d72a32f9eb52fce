"""Principal components are the rows again, turned."""

import numpy as np
import pytest

from crossmarket.metrics.components import principal_components


def test_components_keep_distances_and_signs():
    rows = np.array([[0.0, 0, 0], [3, 0, 0], [0, 4, 0], [1, 1, 0]])
    points, explained = principal_components(rows)
    assert explained.sum() == pytest.approx(1)
    assert explained[0] >= explained[1]
    between = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    assert np.linalg.norm(points[:, None] - points[None], axis=2) == pytest.approx(between)
    assert (points[np.abs(points).argmax(axis=0), [0, 1]] > 0).all()
    same, unknown = principal_components(np.ones((2, 3)))
    assert (same == 0).all()
    assert np.isnan(unknown).all()
