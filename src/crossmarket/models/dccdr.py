"""DCCDR: a graph for the target, one for its sources, and a contrast between their items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import BipartiteGraph, DomainNodes, map_domains, map_nodes
from crossmarket.graph.propagation import adjacency
from crossmarket.models.base import ModelConfig
from crossmarket.models.embedding import EmbeddingRecommender
from crossmarket.models.network import FittedNetwork, data_key, fit_network, settle
from crossmarket.models.tables import PairBatch, PairObjective, TableConfig, initial_table
from crossmarket.models.validation import Validation
from crossmarket.models.vectors import VectorNetwork, VectorTask
from crossmarket.training.examples import endless
from crossmarket.training.gathering import RowIndex, gather
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler


class DCCDRConfig(TableConfig):
    """Settings of `DCCDR`."""

    embedding_size: int = Field(
        64,
        ge=2,
        multiple_of=2,
        description="Width of a vector: an invariant half, then a specific one. Source: DCMPT, 64.",
    )
    batch_size: int = Field(
        1024, ge=1, description="Positives of each domain in a step. Source: DCCDR, 1024."
    )
    alpha: float = Field(1e-3, ge=0, description="Weight of the contrast. Source: DCCDR, 1e-3.")
    contrast_temperature: float = Field(
        0.1, gt=0, description="Divides the cosines of the contrast. Source: DCCDR, 0.1."
    )
    contrast_items: int = Field(
        1024, ge=1, description="Most shared items a step contrasts. Source: ours."
    )


def contrast(target: Tensor, source: Tensor, temperature: float) -> Tensor:
    """Sum over shared items of the cross entropy of finding an item's other half.

    With cosines over the temperature, an item's invariant half in the target attracts that in the
    source. Against it stand its invariant and specific halves in the target, those in the source,
    its two specific halves, and the invariant halves of the other items in the source.

    Parameters
    ----------
    target, source : float [n, d]
        Vectors of the same items in the two domains: invariant half, specific half.
    temperature : float
        Divides the cosines.
    """
    inv_a, spec_a = (F.normalize(half, dim=-1) for half in target.chunk(2, dim=-1))
    inv_b, spec_b = (F.normalize(half, dim=-1) for half in source.chunk(2, dim=-1))
    between = inv_a @ inv_b.T
    own = [inv_a * spec_a, inv_b * spec_b, spec_a * spec_b]
    cosines = torch.cat([between, torch.stack([part.sum(dim=-1) for part in own], dim=1)], dim=1)
    logits = cosines / temperature
    return (logits.logsumexp(dim=1) - logits.diagonal()).sum()


class DCCDRNetwork(VectorNetwork):
    """A layer-0 table over the nodes of both domains, propagated in each."""

    def __init__(self, table: Tensor, graph: BipartiteGraph, num_layers: int) -> None:
        super().__init__()
        self.table = nn.Parameter(table)
        self.adjacency, self.num_layers = adjacency(graph), num_layers

    def layers(self) -> tuple[Tensor, Tensor]:
        """Mean of all layers and the last one, float32 [num_nodes, d] each."""
        last: Tensor = self.table
        total = last
        for _ in range(self.num_layers):
            last = self.adjacency @ last
            total = total + last
        return total / (self.num_layers + 1), last

    def forward(self) -> Tensor:
        """Return the mean of the layers of all nodes."""
        return self.layers()[0]


@dataclass(frozen=True)
class DualBatch:
    """Positives of both domains, and the shared items among them.

    Attributes
    ----------
    pairs : PairBatch
        Positives, as many of each domain, with their negatives.
    shared : RowIndex
        Nodes of n shared items in the target, then of the same items in the sources.
    """

    pairs: PairBatch
    shared: RowIndex


class DualDomains:
    """Draws steps over the target and its sources.

    Parameters
    ----------
    nodes : DomainNodes
        Nodes; the target is the first market.
    train : MarketDataset
        Training part.
    config : DCCDRConfig
        Sizes of a step.
    device : str
        Where tensors live.
    """

    def __init__(
        self, nodes: DomainNodes, train: MarketDataset, config: DCCDRConfig, device: str
    ) -> None:
        self.nodes, self.config, self.device = nodes, config, device
        self.sampler = PositiveSampler(train, nodes)
        self.objective = PairObjective(config, self.sampler, device)
        own = self.sampler.markets == 0
        self.target, self.source = np.flatnonzero(own), np.flatnonzero(~own)
        self.num_domains = (len(self.target) > 0) + (len(self.source) > 0)
        first, second = (np.unique(self.sampler.items[part]) for part in (self.target, self.source))
        #: Nodes of the items that have training edges in both domains, int64 [2, shared].
        self.shared = self._aligned(first, second)
        self._place = np.full(nodes.num_nodes, -1)
        self._place[self.shared] = np.arange(self.shared.shape[1])

    def _aligned(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
        left_items, right_items = (
            self.nodes.items[part - self.nodes.num_users] for part in (first, second)
        )
        _, left, right = np.intersect1d(left_items, right_items, True, return_indices=True)
        return np.stack([first[left], second[right]])

    def batches(self, generator: np.random.Generator) -> Iterator[DualBatch]:
        """Yield every positive of the larger domain once, and as many of the other."""
        parts = [part for part in (self.target, self.source) if len(part)]
        length = max(map(len, parts), default=0)
        order = [endless(part, length, generator) for part in parts]
        for start in range(0, length, self.config.batch_size):
            rows = slice(start, start + self.config.batch_size)
            batch = self.sampler.batch(np.concatenate([part[rows] for part in order]))
            pairs = self.objective.prepare(batch, generator)
            places = np.unique(self._place[batch.items])
            places = places[places >= 0]
            if len(places) > self.config.contrast_items:
                places = generator.choice(places, self.config.contrast_items, replace=False)
            shared = self.shared[:, places].ravel()
            yield DualBatch(pairs, RowIndex.of(shared, self.nodes.num_nodes, self.device))

    def losses(self, network: DCCDRNetwork, batch: DualBatch) -> dict[str, Tensor]:
        """Ranking loss of each domain, and the contrast of the shared items."""
        vectors, last = network.layers()
        # Both domains have as many positives, so the sum of their means is twice the mean.
        ranking = self.num_domains * self.objective.penalised(vectors, network.table, batch.pairs)
        if self.config.alpha == 0:
            return {"loss": ranking}
        target, source = gather(last, batch.shared).tensor_split(2)
        apart = contrast(target, source, self.config.contrast_temperature)
        return {"loss": ranking + self.config.alpha * apart, "ranking": ranking, "contrast": apart}


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
