"""What early stopping looks at: NDCG@10 on the validation part, the same for every system."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.splits import market_generator, without
from crossmarket.graph.bipartite import NodeMap
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.training.loop import SELECTION_METRIC

#: Scores items for users: market, user rows [n], item rows [m] -> float32 [n, m].
MarketScores = Callable[[str, Rows, Rows], FloatMatrix]


class Validation:
    """Mean validation metric over markets; users without training interactions do not count.

    Parameters
    ----------
    train, valid : MarketDataset
        Training part, whose items are masked, and held-out part.
    markets : sequence of str
        Markets to look at.
    max_users : int, optional
        Look at no more users of a market, drawn once; at all by default.
    """

    def __init__(
        self,
        train: MarketDataset,
        valid: MarketDataset,
        markets: Sequence[str],
        max_users: int | None = None,
    ) -> None:
        self._parts: list[tuple[str, HeldOut]] = []
        for market in markets:
            seen, relevant = train.matrix(market), valid.matrix(market)
            counted = np.diff(seen.indptr) > 0
            able = np.flatnonzero(counted & (np.diff(relevant.indptr) > 0))
            if max_users is not None and len(able) > max_users:
                drawn = market_generator(0, market).choice(able, size=max_users, replace=False)
                counted = np.isin(np.arange(len(counted)), drawn)
            masked = without(seen, relevant)
            held_out = HeldOut(relevant, masked, train.catalogue(market), among=counted)
            if len(held_out):
                self._parts.append((market, held_out))

    def evaluate(self, score: MarketScores) -> dict[str, float]:
        """Return `ndcg@10`, the mean over markets; nothing where no market has validation users."""
        means = []
        for market, held_out in self._parts:
            values = held_out.evaluate(
                lambda users, market=market, items=held_out.candidates: score(market, users, items),  # type: ignore[misc]
                [SELECTION_METRIC],
            )
            means.append(float(values[SELECTION_METRIC].mean()))
        return {SELECTION_METRIC: float(np.mean(means))} if means else {}


def validation_on(
    train: MarketDataset,
    valid: MarketDataset | None,
    markets: Sequence[str],
    max_users: int | None = None,
) -> Validation | None:
    """The validation of a training; None where no held-out part is given. See `Validation`."""
    return None if valid is None else Validation(train, valid, markets, max_users)


def vector_scores(nodes: NodeMap, vectors: Tensor) -> MarketScores:
    """Score by the inner products of vectors, float32 [num_nodes, d], of a graph's nodes."""
    table = vectors.detach().cpu().numpy()
    transposed: dict[str, FloatMatrix] = {}

    def score(market: str, users: Rows, items: Rows) -> FloatMatrix:
        if market not in transposed:
            transposed[market] = np.ascontiguousarray(table[nodes.item_nodes(items, market)].T)
        return np.asarray(table[nodes.user_nodes(market, users)] @ transposed[market])

    return score
