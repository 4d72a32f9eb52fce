"""The local stage of M3Rec: each market corrects the vectors that all share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import block_diag, csr_array
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.sparse import SparseMatrix
from crossmarket.models.local_markets import LocalMarkets, LocalVectors
from crossmarket.models.network import NetworkConfig
from crossmarket.training.gathering import RowIndex, gather
from crossmarket.training.sampling import Batch, PositiveSampler


class LocalConfig(NetworkConfig):
    """Settings of the local stage."""

    num_negatives: int = Field(
        10, ge=1, description="Sampled items of each positive. Source: M3Rec, 10."
    )
    margin: float = Field(
        0.2,
        ge=-1,
        le=1,
        description="gamma: cosine up to which a negative costs nothing. Source: M3Rec, 0.2.",
    )
    negative_weight: float = Field(
        1.0, gt=0, description="Weight of the negatives against the positive. Source: M3Rec, 1."
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Share of vectors dropped in training. Source: M3Rec, 0.3."
    )
    reg: float = Field(
        1e-7, ge=0, description="lambda: L2 penalty of the local items. Source: M3Rec, 1e-7."
    )
    batch_size: int = Field(1024, ge=1, description="Positives of a step. Source: M3Rec, 1024.")
    epochs: int = Field(100, ge=0, description="Most epochs. Source: M3Rec, 100.")


@dataclass(frozen=True)
class LocalBatch:
    """Positives of a step, each item followed by its negatives.

    Attributes
    ----------
    users : RowIndex of n
        User nodes.
    histories : SparseMatrix [n, local items]
        Weights of their items.
    items : RowIndex of n * (1 + negatives)
        Positions among the local items.
    """

    users: RowIndex
    histories: SparseMatrix
    items: RowIndex


class LocalSampler:
    """Draws positives of all markets with unseen items of the same market."""

    def __init__(
        self, train: MarketDataset, markets: LocalMarkets, config: LocalConfig, device: str
    ) -> None:
        self.config, self.device = config, device
        self._positives = PositiveSampler(train, markets.nodes)
        names = markets.nodes.markets
        blocks = [markets.weights(market, train.matrix(market)) for market in names]
        self._histories = csr_array(block_diag(blocks, format="csr"))

    def batches(self, generator: np.random.Generator) -> Iterator[LocalBatch]:
        """Yield every positive once, in batches."""
        for batch in self._positives.batches(self.config.batch_size, generator):
            drawn = self._positives.pairwise(batch, self.config.num_negatives, generator)
            yield self.batch(batch, drawn)

    def batch(self, positives: Batch, negatives: NDArray[np.int64]) -> LocalBatch:
        """Make a batch of positives and the nodes of their negatives, int64 [n, negatives]."""
        nodes = self._positives.nodes
        items = np.concatenate([positives.items[:, None], negatives], axis=1) - nodes.num_users
        return LocalBatch(
            RowIndex.of(positives.users, nodes.num_users, self.device),
            SparseMatrix.of(self._histories[positives.users], self.device),
            RowIndex.of(items.ravel(), len(nodes.items), self.device),
        )


class LocalNetwork(nn.Module):
    """Item vectors `V = V_glob + V_loca` and user vectors `U = W B V + U_loca` of every market.

    Parameters
    ----------
    markets : LocalMarkets
        Who is whom, and the similarities.
    everywhere : float32 [items of all markets, d]
        V_glob.
    config : LocalConfig
        Margin, dropout and penalty.
    device : str
        Where the similarities live.
    """

    def __init__(
        self, markets: LocalMarkets, everywhere: Tensor, config: LocalConfig, device: str
    ) -> None:
        super().__init__()
        self.markets, self.config = markets, config
        width = everywhere.shape[1]
        self.everywhere = nn.Parameter(everywhere.clone())
        self.items = nn.Parameter(torch.zeros(len(markets.shared), width))
        self.users = nn.Parameter(torch.zeros(markets.nodes.num_users, width))
        self._shared = RowIndex.of(markets.shared, len(everywhere), device)
        self._similarity = None
        if markets.similarity is not None:
            blocks = [markets.similarity[market] for market in markets.nodes.markets]
            self._similarity = SparseMatrix.of(csr_array(block_diag(blocks, format="csr")), device)

    def losses(self, batch: LocalBatch) -> dict[str, Tensor]:
        """Equations 12 and 13, mean over the positives."""
        vectors = gather(self.everywhere, self._shared) + self.items
        smoothed = vectors if self._similarity is None else self._similarity @ vectors
        users = batch.histories @ smoothed + gather(self.users, batch.users)
        items = gather(vectors, batch.items).view(len(users), -1, users.shape[1])
        users, items = (
            F.normalize(F.dropout(part, self.config.dropout, self.training), dim=-1)
            for part in (users, items)
        )
        cosines = torch.bmm(items, users[:, :, None]).squeeze(-1)
        missed = (1 - cosines[:, 0]).mean()
        confused = (cosines[:, 1:] - self.config.margin).relu().mean()
        penalty = self.config.reg * self.items.square().sum()
        return {"loss": missed + self.config.negative_weight * confused + penalty}

    def vectors_of(self, market: str) -> LocalVectors:
        """The vectors of a market in the current state."""
        nodes = self.markets.nodes
        own = slice(*nodes.domains[market])
        first = nodes.user_starts[market]
        everywhere, local, users = (
            table.detach().cpu().numpy() for table in (self.everywhere, self.items, self.users)
        )
        items = everywhere[self.markets.shared[own]] + local[own]
        similarity = self.markets.similarity
        smoothed = items if similarity is None else similarity[market] @ items
        return LocalVectors(self.markets, market, items, smoothed, users[first:])
