"""How much markets resemble each other: in what they sell and in what is bought there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Resemblance:
    """Every pair of markets; rows and columns are in one order.

    Attributes
    ----------
    overlap : int64 [markets, markets]
        Items that both markets sell; a market's catalogue size on the diagonal.
    jaccard : float64 [markets, markets]
        Overlap divided by the items that either market sells.
    cosine : float64 [markets, markets]
        Cosine similarity of the markets' purchase counts over all items; 1 on the diagonal, 0
        beside a market without purchases.
    """

    overlap: NDArray[np.int64]
    jaccard: NDArray[np.float64]
    cosine: NDArray[np.float64]


def resemblance(sold: NDArray[np.integer[Any]], bought: NDArray[np.float64]) -> Resemblance:
    """Compare markets pair by pair.

    Parameters
    ----------
    sold : int [markets, items]
        1 where a market sells an item, else 0.
    bought : float64 [markets, items]
        How often it was bought there.
    """
    overlap = sold @ sold.T
    sizes = np.diag(overlap)
    either = sizes[:, None] + sizes[None, :] - overlap
    norms = np.linalg.norm(bought, axis=1)
    directions = bought / np.where(norms > 0, norms, 1)[:, None]
    cosine = np.clip(directions @ directions.T, 0, 1)
    np.fill_diagonal(cosine, 1.0)
    return Resemblance(overlap, overlap / np.maximum(either, 1), cosine)
