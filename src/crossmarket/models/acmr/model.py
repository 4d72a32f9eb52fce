"""ACMR: pre-trained on every market, fine-tuned on the target."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from scipy.sparse import csr_array
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.acmr.network import ACMRNetwork, ACMRNetworkConfig
from crossmarket.models.acmr.sequences import (
    HistoryExamples,
    HistoryExampleSampler,
    HistoryScorer,
)
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.network import (
    FittedNetwork,
    NetworkTask,
    count_trainable,
    data_key,
    fit_network,
    seeded,
    settle,
    stage_kind,
)
from crossmarket.models.validation import validation_on
from crossmarket.training.histories import Histories


class ACMRConfig(ACMRNetworkConfig):
    """Settings of `ACMR`; its own schedule is that of the pre-training."""

    markets: Literal["target", "merged"] = Field(
        "merged",
        description="Markets pre-trained on; with the target alone there is one training only. "
        "Source: ACMR merged.",
    )
    pretrain_target: bool = Field(
        True, description="Whether the target's rows are pre-trained on, too. Source: ACMR, yes."
    )
    fine_tuning: TrainingConfig | None = Field(
        TrainingConfig(epochs=50),
        description="Schedule on the target's rows; null for none. Source: ACMR's code, 50 epochs.",
    )


class ACMR(Recommender):
    """Attentive cross-market recommendation (ACMR, 2024; its preprint calls it Bert4XMR).

    The tokens of a user's items and of the candidate, each an item's vector plus the market's
    (5), run through post-norm encoder layers without positions (2)-(4), (6); the mean of the
    history's outputs (7) and the candidate's output give the logit (8), trained by cross entropy
    (9). Pre-trained on all markets, then fine-tuned on the target's rows (Algorithm 1).

    One pre-training, selected on the mean over its markets, serves every target. A positive is
    taken out of its own history, and negatives are drawn anew each epoch from the user's market;
    the authors' code does neither (`leaky_history`, `negatives`). Dropout is where the equations
    have it, at the end of each sublayer; the code also drops attention weights and hidden units.
    """

    name = "acmr"
    summary = "transformer over history and candidate, pre-trained and fine-tuned"
    paper = "ACMR, 2024"
    family = "cross-market"
    config_class: ClassVar[type[ModelConfig]] = ACMRConfig
    presets: ClassVar = {
        "paper": {},
        "no-market-embedding": {"market_embedding": False},
        "single-market": {"markets": "target"},
        "no-fine-tuning": {"fine_tuning": None},
        "pretrain-without-target": {"pretrain_target": False, "fine_tuning": None},
        "fine-tune-without-target": {"pretrain_target": False},
    }
    uses_sources = True
    supports_fold_in = True
    config: ACMRConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        merged = self.config.markets == "merged"
        markets = train.markets if merged else (self.target,)
        self._nodes = map_nodes(train, markets)
        if merged and not self.config.pretrain_target:
            markets = tuple(market for market in markets if market != self.target)
        settings = self.config.part(ACMRNetworkConfig)
        with seeded(self.options.seed):
            network = ACMRNetwork(len(self._nodes.items), len(self._nodes.markets), settings)
        self._network = network.to(self.options.device)
        self._pretrained: FittedNetwork[ACMRNetwork] | None = None
        if markets:
            self._pretrained = self._learn(train, valid, settings, markets)
        self._tuned: FittedNetwork[ACMRNetwork] | None = None
        if merged and self.config.fine_tuning is not None:
            schedule = self.config.fine_tuning.model_dump()
            self._network = copy.deepcopy(self._network)
            self._tuned = self._learn(
                train, valid, settings.model_copy(update=schedule), (self.target,)
            )
        self._scorer = self._scorer_of(self._network)
        self._set_history(train)

    def _learn(
        self,
        train: MarketDataset,
        valid: MarketDataset | None,
        config: ACMRNetworkConfig,
        markets: Sequence[str],
    ) -> FittedNetwork[ACMRNetwork]:
        """Train `self._network` on the rows of some markets; the result takes its place."""
        nodes, options = self._nodes, self.options

        def make_task(network: ACMRNetwork) -> NetworkTask:
            histories = self._cut(Histories.of(train, nodes, markets))
            sampler = HistoryExampleSampler(
                train, nodes, markets, histories, config, options.device
            )
            validation = validation_on(train, valid, markets, config.validation_users)
            scorer = self._scorer_of(network)

            def losses(batch: HistoryExamples) -> dict[str, Tensor]:
                return batch.losses(network)

            def score(market: str, users: Rows, items: Rows) -> FloatMatrix:
                return scorer.score(histories, nodes.user_nodes(market, users), market, items)

            return NetworkTask(network, sampler.batches, losses, validation, score)

        fitted = fit_network(
            self._network,
            config,
            options,
            kind=stage_kind(markets, self.name),
            inputs={"nodes": list(nodes.markets), **data_key(train, valid, markets)},
            make_task=make_task,
            weight_decay=config.reg,
        )
        self._network = fitted.network
        return fitted

    def _scorer_of(self, network: ACMRNetwork) -> HistoryScorer:
        return HistoryScorer(network, self._nodes, self.config.max_length, self.options.device)

    def _cut(self, histories: Histories) -> Histories:
        if self.config.history_cut == "newest":
            return histories
        return histories.thinned(self.config.max_length, np.random.default_rng(self.options.seed))

    def _set_history(self, history: MarketDataset) -> None:
        self._histories = self._cut(Histories.of(history, self._nodes, (self.target,)))

    def _scorable(self) -> Rows:
        return self._nodes.items

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        nodes = self._nodes.user_nodes(self.target, users)
        return self._scorer.score(self._histories, nodes, self.target, items)

    _score_lists = _score

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        bare = self._cut(Histories.of_matrix(histories, self._nodes))
        return self._scorer.score(bare, np.arange(histories.shape[0]), self.target, items)

    def item_vectors(self, items: Rows) -> FloatMatrix:
        """Tokens of items in the target: the item's vector plus the market's, where it has one.

        Parameters
        ----------
        items : int [n]
            Rows of items that a pre-training market sells.

        Returns
        -------
        float32 [n, d]
        """
        table = self._network.items.weight.detach().cpu().numpy()
        vectors = table[self._nodes.item_nodes(items) - self._nodes.num_users]
        if self._network.markets is not None:
            place = self._nodes.markets.index(self.target)
            vectors = vectors + self._network.markets.weight[place].detach().cpu().numpy()
        return np.asarray(vectors, dtype=np.float32)

    def attention(self, user: int, item: int) -> tuple[Rows, FloatMatrix]:
        """What the last layer reads when it is asked about an item, mean over heads.

        Parameters
        ----------
        user : int
            User row of the target.
        item : int
            Item row of the candidate.

        Returns
        -------
        Item rows int32 [n], the history oldest first and then the candidate, and weights float32
        [n, n]: how much the token of a row reads that of a column; rows sum to 1.
        """
        nodes, config = self._nodes, self.config
        past = self._histories.padded(
            nodes.user_nodes(self.target, np.array([user])), config.max_length
        )
        past = past[past < len(nodes.items)][None]
        candidate = torch.from_numpy(nodes.item_nodes(np.array([[item]])) - nodes.num_users)
        market = torch.tensor([nodes.markets.index(self.target)])
        parts = (part.to(self.options.device) for part in (past, candidate, market))
        with self.options.applied(), torch.inference_mode():
            weights = self._network.attention(*parts)[:, :, 0, 0].cpu().numpy()
        tokens = np.concatenate([past[0].numpy(), candidate[0].numpy()])
        return nodes.items[tokens], weights

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._pretrained, fine_tuning=self._tuned)

    def num_trainable(self) -> int:
        """Count every scalar of the network."""
        return count_trainable(self._network)
