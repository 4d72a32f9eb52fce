"""Embedding tables learned over a graph: the part that backbone, teacher and LightGCN share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.graph.bipartite import BipartiteGraph, NodeMap, map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.config import ModelConfig, TrainingConfig
from crossmarket.models.objectives import (
    Similarity,
    as_similarity,
    bpr,
    cross_entropy,
    sampled_softmax,
    squared_norm,
)
from crossmarket.models.validation import Validation, validation_on, vector_scores
from crossmarket.training.gathering import RowIndex, gather
from crossmarket.training.loop import train
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import Batch, PositiveSampler
from crossmarket.training.stage import Stage, TrainedState


class ObjectiveConfig(ModelConfig):
    """How pairs are scored and which objective learns the scores."""

    loss: Literal["bpr", "bce", "softmax"] = Field(
        "bpr",
        description="Pairwise BPR, binary cross entropy of pairs, or sampled softmax. Source: "
        "DCMPT names none; BPR.",
    )
    similarity: Similarity = Field(
        "dot", description="Inner product or cosine of propagated vectors. Source: LightGCN, dot."
    )
    temperature: float = Field(
        1.0, gt=0, description="Divides the similarity to make a logit. Source: none; 1 is neutral."
    )
    num_negatives: int = Field(
        1,
        ge=1,
        description="BPR, BCE: negatives of each positive; softmax: negatives shared by a market's "
        "users in a batch. Source: LightGCN, 1.",
    )
    reg: float = Field(1e-6, ge=0, description="L2 penalty of a batch's rows. Source: DCMPT 1e-6.")


class TableConfig(ObjectiveConfig, TrainingConfig):
    """Settings of embedding tables trained by propagation (LightGCN, He et al. 2020)."""

    embedding_size: int = Field(64, ge=1, description="Width of a vector. Source: DCMPT, 64.")
    num_layers: int = Field(3, ge=0, description="Propagation layers. Source: DCMPT, 3.")
    init_std: float = Field(
        0.1, gt=0, description="Standard deviation of the initial tables. Source: LightGCN, 0.1."
    )
    batch_size: int = Field(2048, ge=1, description="Positives of a step. Source: LightGCN, 2048.")


@dataclass(frozen=True)
class Tables:
    """Trained layer-0 vectors of a graph's nodes.

    Attributes
    ----------
    nodes : NodeMap
        Which node is whom.
    layer0 : float32 [num_nodes, d]
        The table; frozen.
    stage_hash : str
        Content address of the training that made it.
    trained : TrainedState
        History and best epoch.
    """

    nodes: NodeMap
    layer0: Tensor
    stage_hash: str
    trained: TrainedState


@dataclass(frozen=True)
class PairBatch:
    """Positives of a step with their negatives, ready to be scored.

    Attributes
    ----------
    positives : Batch
        User and item nodes, by market.
    index : RowIndex
        Every node the loss reads: users, items, then negatives.
    same : list of int64 arrays
        Of each market of a softmax batch, where a sample is the positive itself.
    """

    positives: Batch
    index: RowIndex
    same: list[Tensor]


class PairObjective:
    """Ranking loss of a batch of positives, given the vectors of all nodes."""

    def __init__(self, config: ObjectiveConfig, sampler: PositiveSampler, device: str) -> None:
        self.config, self.sampler, self.device = config, sampler, device

    def prepare(self, batch: Batch, generator: np.random.Generator) -> PairBatch:
        """Draw the batch's negatives."""
        count, same = self.config.num_negatives, []
        if self.config.loss != "softmax":
            drawn = [self.sampler.pairwise(batch, count, generator).ravel()]
        else:
            shared = self.sampler.shared(batch, count, generator)
            drawn = list(shared.values())
            for start, end, market in batch.bounds:
                hits = np.flatnonzero(batch.items[start:end, None] == shared[market])
                same.append(torch.from_numpy(hits).to(self.device))
        rows = np.concatenate([batch.users, batch.items, *drawn])
        return PairBatch(batch, RowIndex.of(rows, self.sampler.nodes.num_nodes, self.device), same)

    def __call__(self, vectors: Tensor, batch: PairBatch) -> Tensor:
        """Mean loss of the batch; `vectors` float32 [num_nodes, d]."""
        rows = as_similarity(gather(vectors, batch.index), self.config.similarity)
        rows = rows / self.config.temperature**0.5
        size, width = len(batch.positives.users), self.config.num_negatives
        users, items, drawn = rows[:size], rows[size : 2 * size], rows[2 * size :]
        if self.config.loss != "softmax":
            negative = torch.einsum("bd,bnd->bn", users, drawn.view(size, width, -1))
            compare = bpr if self.config.loss == "bpr" else cross_entropy
            return compare((users * items).sum(dim=1), negative)
        total = torch.zeros((), device=vectors.device)
        for place, (start, end, _) in enumerate(batch.positives.bounds):
            block = drawn[place * width : (place + 1) * width]
            same = batch.same[place]
            total = total + sampled_softmax(users[start:end], items[start:end], block, same)
        return total / size

    def penalised(self, vectors: Tensor, table: Tensor, batch: PairBatch) -> Tensor:
        """Mean loss of the batch plus the L2 penalty of the rows of `table` it uses."""
        ranking = self(vectors, batch)
        if self.config.reg == 0:
            return ranking
        penalty = squared_norm(gather(table, batch.index), len(batch.positives.users))
        return ranking + self.config.reg * penalty


class TableTask:
    """Training of a layer-0 table over a fixed graph."""

    def __init__(
        self,
        config: TableConfig,
        table: Tensor,
        graph: BipartiteGraph,
        sampler: PositiveSampler,
        validation: Validation | None,
        device: str,
    ) -> None:
        self.config, self.graph, self.sampler, self.validation = config, graph, sampler, validation
        self.table = table.requires_grad_(True)
        self.objective = PairObjective(config, sampler, device)

    def parameters(self) -> dict[str, Tensor]:
        """The table."""
        return {"table": self.table}

    def batches(self, generator: np.random.Generator) -> Iterator[PairBatch]:
        """Positives with their negatives."""
        for batch in self.sampler.batches(self.config.batch_size, generator):
            yield self.objective.prepare(batch, generator)

    def losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Ranking loss and L2 penalty of the rows in use."""
        vectors = propagate(self.graph, self.table, self.config.num_layers)
        return {"loss": self.objective.penalised(vectors, self.table, batch)}

    def validate(self) -> dict[str, float]:
        """Mean NDCG@10 over the validated markets."""
        if self.validation is None:
            return {}
        with torch.no_grad():
            vectors = propagate(self.graph, self.table, self.config.num_layers)
            similar = as_similarity(vectors, self.config.similarity)
            return self.validation.evaluate(vector_scores(self.sampler.nodes, similar))


def initial_table(nodes: NodeMap, config: TableConfig, seed: int) -> Tensor:
    """Draw a table from N(0, init_std^2), float32 [num_nodes, embedding_size]."""
    generator = torch.Generator().manual_seed(seed)
    shape = (nodes.num_nodes, config.embedding_size)
    return torch.randn(shape, generator=generator) * config.init_std


def fit_tables(
    train_part: MarketDataset,
    valid: MarketDataset | None,
    markets: Sequence[str],
    config: TableConfig,
    options: RunOptions,
    *,
    kind: str,
    start: Tensor | None = None,
    learn_from: Sequence[str] | None = None,
) -> Tables:
    """Train layer-0 vectors on the merged graph of some markets.

    Parameters
    ----------
    train_part, valid : MarketDataset
        Training interactions; held-out ones for early stopping.
    markets : sequence of str
        Markets whose edges make the graph and the positives.
    config : TableConfig
        Widths, objective and schedule.
    options : RunOptions
        Seed, threads, workspace.
    kind : str
        Name of the stage, e.g. `backbone`.
    start : float32 [num_nodes, d], optional
        Values to start from instead of a random draw.
    learn_from : sequence of str, optional
        Markets whose positives are learned and whose mean validation metric decides; all of
        `markets` by default.
    """
    nodes = map_nodes(train_part, markets)
    judged = list(markets if learn_from is None else learn_from)
    data = [train_part.select_markets(markets).fingerprint]
    if valid is not None:
        data.append(valid.select_markets(judged).fingerprint)
    initial = initial_table(nodes, config, options.seed) if start is None else start.clone()
    stage = Stage(
        options.workspace,
        kind,
        {
            "data": data,
            "config": config.model_dump(mode="json"),
            "seed": options.seed,
            "threads": options.threads,
            "device": options.device,
            "learn_from": judged,
            "start": None if start is None else tensor_hash(start),
        },
    )
    memory = options.memory.get(stage.hash)
    if isinstance(memory, Tables):
        return memory
    validation = validation_on(train_part, valid, judged)
    graph = nodes.graph_of(train_part).to(options.device)
    sampler = PositiveSampler(train_part, nodes, judged)
    task = TableTask(config, initial.to(options.device), graph, sampler, validation, options.device)
    state = train(task, config.schedule(), options, stage)
    tables = Tables(nodes, state.tensors["table"].detach(), stage.hash, state)
    options.memory[stage.hash] = tables
    return tables


def tensor_hash(tensor: Tensor) -> str:
    """SHA-256 (hex) of a tensor's shape and bytes."""
    digest = hashlib.sha256(str(tuple(tensor.shape)).encode())
    digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
