"""The frozen backbone of DCMPT and what is derived from it (stages 1 and 2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import NodeMap, map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.models.objectives import as_similarity
from crossmarket.models.tables import TableConfig, Tables, fit_tables, initial_table, tensor_hash
from crossmarket.training.options import RunOptions
from crossmarket.training.stage import TrainedState


def pretrain(
    config: DCMPTConfig,
    train: MarketDataset,
    valid: MarketDataset | None,
    target: str,
    options: RunOptions,
) -> Tables:
    """Learn the tables to freeze (eq. 4): once for all targets, or on the target only.

    Returns
    -------
    Tables whose `layer0` is `theta_bar`; LightGCN has no other parameter.
    """
    if config.pretrain == "target":
        return fit_tables(
            train, valid, (target,), config.backbone, options, kind=f"{target}-teacher"
        )
    if config.pretrain == "random":
        nodes = map_nodes(train, train.markets)
        table = initial_table(nodes, config.backbone, options.seed)
        return Tables(nodes, table, tensor_hash(table), TrainedState({"table": table}, [], 0))
    return fit_tables(train, valid, train.markets, config.backbone, options, kind="backbone")


def table_rows(tables: Tables, nodes: NodeMap) -> NDArray[np.int64]:
    """Rows of a backbone's table that belong to the nodes of one market's map, in its order."""
    (market,) = nodes.markets
    if market not in tables.nodes.user_starts:
        raise UsageError(
            f"the backbone knows nothing of market {market!r}; choose pretrain=merged or random"
        )
    users = tables.nodes.user_nodes(market, np.arange(nodes.num_users))
    return np.concatenate([users, tables.nodes.item_nodes(nodes.items)])


def fine_tune(
    train: MarketDataset,
    valid: MarketDataset | None,
    target: str,
    backbone: Tables,
    config: TableConfig,
    options: RunOptions,
    *,
    combined: bool = False,
) -> Tables:
    """Go on training the backbone's tables, all of them trainable, on the target's positives.

    Parameters
    ----------
    combined : bool
        Propagate over all markets' training edges instead of the target's own.
    """
    kind = f"{target}-fine-tuned"
    if combined:
        return fit_tables(
            train,
            valid,
            backbone.nodes.markets,
            config,
            options,
            kind=kind,
            start=backbone.layer0,
            learn_from=(target,),
        )
    rows = torch.from_numpy(table_rows(backbone, map_nodes(train, (target,))))
    start = backbone.layer0.index_select(0, rows)
    return fit_tables(train, valid, (target,), config, options, kind=kind, start=start)


def fit_teacher(
    config: DCMPTConfig,
    train: MarketDataset,
    valid: MarketDataset | None,
    target: str,
    backbone: Tables,
    options: RunOptions,
) -> tuple[Tables, Tensor]:
    """Train the teacher (stage 2) and propagate it over the target's training graph.

    Returns
    -------
    The teacher's tables, and vectors float32 [target users + target items, d] whose inner
    products are its logits; rows as `map_nodes(train, (target,))` numbers them.
    """
    if config.teacher_from == "fine_tuned":
        width = config.backbone.embedding_size
        settings = config.teacher.model_copy(update={"embedding_size": width})
        tables = fine_tune(train, valid, target, backbone, settings, options)
    else:
        settings = config.teacher
        tables = fit_tables(train, valid, (target,), settings, options, kind=f"{target}-teacher")
    graph = tables.nodes.graph_of(train).to(options.device)
    with torch.no_grad():
        vectors = propagate(graph, tables.layer0.to(options.device), settings.num_layers)
        return tables, as_similarity(vectors, settings.similarity) / settings.temperature**0.5
