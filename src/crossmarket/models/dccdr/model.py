"""DCCDR as a recommender."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import DomainNodes, map_domains, map_nodes
from crossmarket.models.config import ModelConfig
from crossmarket.models.dccdr.config import DCCDRConfig
from crossmarket.models.dccdr.network import DCCDRNetwork
from crossmarket.models.dccdr.steps import DualDomains
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.network import FittedNetwork, data_key, fit_network, settle
from crossmarket.models.tables import initial_table
from crossmarket.models.validation import Validation
from crossmarket.models.vectors import VectorTask
from crossmarket.training.options import RunOptions


class DCCDR(EmbeddingRecommender):
    """Disentangled contrastive learning for cross-domain recommendation (Zhang et al. 2023).

    The target and its sources, merged, have a LightGCN each. Half of a vector is domain-invariant,
    half domain-specific; the `contrast` of the last layer's vectors of the shared items links the
    two graphs: `BPR_target + BPR_sources + alpha * contrast`. A target's items are ranked by the
    inner products of its whole vectors.

    The paper contrasts users, here it is items. A step has as many positives of the sources as of
    the target, and contrasts those of their items that have training edges in both; an epoch
    passes once over the larger domain, the smaller one starts over.
    """

    name = "dccdr"
    summary = "two graphs, contrast of invariant and specific halves of shared items"
    paper = "Zhang et al. 2023"
    family = "cross-domain"
    config_class: ClassVar[type[ModelConfig]] = DCCDRConfig
    presets: ClassVar = {"paper": {}, "no-contrast": {"alpha": 0.0}}
    uses_sources = True
    config: DCCDRConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        sources = [market for market in train.markets if market != self.target]
        domains = [[self.target], sources] if sources else [[self.target]]
        nodes = map_domains(train, domains)
        self._fitted = fit_dccdr(nodes, train, valid, self.config, self.options)
        own = map_nodes(train, [self.target])
        rows = [
            nodes.user_nodes(self.target, np.arange(own.num_users)),
            nodes.item_nodes(own.items, self.target),
        ]
        self._own, self._rows = own, torch.from_numpy(np.concatenate(rows))
        self._set_history(train)

    def _set_history(self, history: MarketDataset) -> None:
        layer0 = self._fitted.network.table.detach().cpu()[self._rows]
        self._set_vectors(
            self._own,
            layer0,
            self._own.graph_of(history),
            self.config.num_layers,
            self.config.similarity,
        )

    def _settled_config(self) -> ModelConfig:
        return settle(self.config, self._fitted)

    def num_trainable(self) -> int:
        """Count every scalar of the tables of both domains."""
        return self._fitted.network.table.numel()


def fit_dccdr(
    nodes: DomainNodes,
    train: MarketDataset,
    valid: MarketDataset | None,
    config: DCCDRConfig,
    options: RunOptions,
) -> FittedNetwork[DCCDRNetwork]:
    """Train the layer-0 tables of the target, the first market of `nodes`, and of its sources."""
    target = nodes.markets[0]
    table = initial_table(nodes, config, options.seed).to(options.device)
    graph = nodes.graph_of(train).to(options.device)

    def make_task(network: DCCDRNetwork) -> VectorTask:
        domains = DualDomains(nodes, train, config, options.device)
        return VectorTask(
            network,
            domains.batches,
            lambda batch: domains.losses(network, batch),
            None if valid is None else Validation(train, valid, [target]),
            nodes,
            config.similarity,
        )

    return fit_network(
        DCCDRNetwork(table, graph, config.num_layers),
        config,
        options,
        kind=f"{target}-dccdr",
        inputs=data_key(train, valid, nodes.markets, [target]),
        make_task=make_task,
    )
