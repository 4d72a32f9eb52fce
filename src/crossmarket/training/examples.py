"""Mini-batches of labelled pairs: observed interactions and sampled ones that were not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.training.sampling import Batch, PositiveSampler

#: How the markets share the steps of an epoch: as many examples as each has; equally many of each
#: in every step, small markets starting over; or one market a step.
MarketSampling = Literal["proportional", "equal", "one"]
#: Where negatives come from: the items of the user's market, or of any market learned from.
NegativePool = Literal["market", "union"]


@dataclass(frozen=True)
class Examples:
    """Labelled pairs of a step, ordered by market; each positive is followed by its negatives.

    Attributes
    ----------
    users : int64 [n]
        User nodes.
    items : int64 [n]
        Positions of the items among the item nodes.
    labels : float32 [n]
        1 for an observed interaction, 0 for a sampled one.
    runs : list of (start, end, market position)
        Rows of each market.
    num_negatives : int
        Negatives of each positive.
    """

    users: Tensor
    items: Tensor
    labels: Tensor
    runs: list[tuple[int, int, int]]
    num_negatives: int

    def __len__(self) -> int:
        return len(self.users)


class ExampleSampler:
    """Draws an epoch of examples; negatives are drawn anew each time.

    Parameters
    ----------
    positives : PositiveSampler
        Training interactions.
    num_negatives : int
        Unseen items drawn for each positive.
    sampling : {"proportional", "equal", "one"}
        How the markets share the steps.
    negatives : {"market", "union"}
        Where negatives come from.
    device : str
        Where the tensors live.
    """

    def __init__(
        self,
        positives: PositiveSampler,
        num_negatives: int,
        *,
        sampling: MarketSampling = "proportional",
        negatives: NegativePool = "market",
        device: str = "cpu",
    ) -> None:
        self.positives, self.num_negatives, self.device = positives, num_negatives, device
        self.sampling, self.negatives = sampling, negatives
        self._everything = np.unique(np.concatenate(positives.pools))

    def batches(self, size: int, generator: np.random.Generator) -> Iterator[Examples]:
        """Yield an epoch in steps of about `size` examples, negatives included."""
        width = 1 + self.num_negatives
        for batch in self._positive_batches(max(1, size // width), generator):
            negatives = self._draw(batch, generator)
            items = np.concatenate([batch.items[:, None], negatives], axis=1)
            labels = torch.zeros(items.shape)
            labels[:, 0] = 1
            yield Examples(
                torch.from_numpy(np.repeat(batch.users, width)).to(self.device),
                torch.from_numpy(items.ravel() - self.positives.nodes.num_users).to(self.device),
                labels.ravel().to(self.device),
                [(start * width, end * width, market) for start, end, market in batch.bounds],
                self.num_negatives,
            )

    def _draw(self, batch: Batch, generator: np.random.Generator) -> NDArray[np.int64]:
        if self.negatives == "market":
            return self.positives.pairwise(batch, self.num_negatives, generator)
        pool, count = self._everything, self.num_negatives
        return self.positives.draw_unseen(batch.users, pool, count, generator)

    def _positive_batches(self, size: int, generator: np.random.Generator) -> Iterator[Batch]:
        if self.sampling == "proportional":
            return self.positives.batches(size, generator)
        parts = [
            np.flatnonzero(self.positives.markets == market)
            for market in range(len(self.positives.pools))
        ]
        if self.sampling == "one":
            return self._one_market_batches(parts, size, generator)
        return self._equal_batches(parts, size, generator)

    def _one_market_batches(
        self, parts: list[NDArray[np.int64]], size: int, generator: np.random.Generator
    ) -> Iterator[Batch]:
        chunks = []
        for part in parts:
            order = generator.permutation(part)
            chunks += [order[start : start + size] for start in range(0, len(order), size)]
        for place in generator.permutation(len(chunks)):
            yield self.positives.batch(chunks[place])

    def _equal_batches(
        self, parts: list[NDArray[np.int64]], size: int, generator: np.random.Generator
    ) -> Iterator[Batch]:
        parts = [part for part in parts if len(part)]
        share = max(1, size // len(parts))
        steps = -(-max(map(len, parts)) // share)
        streams = [endless(part, steps * share, generator) for part in parts]
        for step in range(steps):
            rows = slice(step * share, (step + 1) * share)
            yield self.positives.batch(np.concatenate([stream[rows] for stream in streams]))


def endless(
    rows: NDArray[np.int64], length: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Shuffle `rows` again and again until there are `length` of them."""
    rounds = -(-length // len(rows))
    return np.concatenate([generator.permutation(rows) for _ in range(rounds)])[:length]
