"""Many numbers as two: principal components, for maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def principal_components(rows: Floats) -> tuple[Floats, Floats]:
    """First two principal components of rows and the share of variance that each explains.

    Signs are chosen so that the row farthest from the middle lies on the positive side.

    Parameters
    ----------
    rows : float64 [n, d]
        At least two rows.

    Returns
    -------
    float64 [n, 2] and float64 [2]
        Shares are NaN where the rows do not differ.
    """
    left, scale, _ = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    points = np.zeros((len(rows), 2))
    width = min(2, len(scale))
    points[:, :width] = left[:, :width] * scale[:width]
    farthest = points[np.abs(points).argmax(axis=0), [0, 1]]
    points *= np.where(farthest < 0, -1.0, 1.0)
    total = float((scale**2).sum())
    shares = np.zeros(2)
    shares[:width] = scale[:width] ** 2
    return points, shares / total if total > 0 else np.full(2, np.nan)
