"""Markets side by side, and scores from vectors of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes, map_domains, map_nodes
from crossmarket.graph.sparse import normalise_rows
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.skip_gram import cosine_scores


@dataclass(frozen=True)
class LocalMarkets:
    """Markets whose items are apart, and which item of all markets each of them is.

    Attributes
    ----------
    nodes : DomainNodes
        Users and items of each market; each market is a domain.
    shared : int64 [local items]
        Place of each local item among the items of all markets.
    similarity : dict of market to csr [items, items], or None
        B of each market's items, of rows that sum to 1 or to 0; None smooths nothing.
    """

    nodes: DomainNodes
    shared: NDArray[np.int64]
    similarity: Mapping[str, csr_array] | None

    @classmethod
    def of(cls, train: MarketDataset, similarity: csr_array | None) -> LocalMarkets:
        """Cut the similarity of all items, float32 [items, items], into that of each market."""
        nodes = map_domains(train, [[market] for market in train.markets])
        shared = np.searchsorted(map_nodes(train, train.markets).items, nodes.items)
        blocks = None
        if similarity is not None:
            places = {market: shared[slice(*nodes.domains[market])] for market in nodes.markets}
            blocks = {
                market: normalise_rows(similarity[rows][:, rows]) for market, rows in places.items()
            }
        return cls(nodes, shared, blocks)

    def weights(self, market: str, histories: csr_array) -> csr_array:
        """Weights W, [n, items], by which users are sums of smoothed vectors of their items.

        `RowNormalise(X B) V = W (B V)`: rows of B sum to 1, so W is the mean over those items of
        a history that have similar ones.
        """
        start, end = self.nodes.domains[market]
        own = histories.tocsr()[:, self.nodes.items[start:end]]
        if self.similarity is not None:
            similar = np.diff(self.similarity[market].indptr) > 0
            own = (own @ diags_array(similar.astype(np.float32))).tocsr()
            own.eliminate_zeros()
        return normalise_rows(own)


@dataclass(frozen=True)
class LocalVectors:
    """Vectors of a market as arrays.

    Attributes
    ----------
    markets : LocalMarkets
        How histories are weighted.
    market : str
        Whose vectors these are.
    items, smoothed : float32 [items, d]
        Vectors of the items, and of what is similar to them.
    users : float32 [at least users, d]
        Local part of the users' vectors.
    """

    markets: LocalMarkets
    market: str
    items: FloatMatrix
    smoothed: FloatMatrix
    users: FloatMatrix

    def score(self, histories: csr_array, items: Rows, users: Rows | None = None) -> FloatMatrix:
        """Score item rows [m] of the market, float32 [n, m].

        Parameters
        ----------
        histories : sparse [n, number of items in the vocabulary]
            What each user interacted with.
        users : int [n], optional
            User rows; without them there is nothing local about the users.
        """
        vectors = self.markets.weights(self.market, histories) @ self.smoothed
        if users is not None:
            vectors += self.users[users]
        start, end = self.markets.nodes.domains[self.market]
        places = np.searchsorted(self.markets.nodes.items[start:end], items)
        return cosine_scores(vectors, self.items[places])
