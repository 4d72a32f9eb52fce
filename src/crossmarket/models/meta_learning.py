"""The loss of meta-learning: how well a network does after a step of each market's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from crossmarket.models.nmf import NMFNetwork
from crossmarket.training.examples import Examples


def meta_loss(network: NMFNetwork, examples: Examples, rate: float) -> Tensor:
    """Mean over markets of the loss after a step of a market's own.

    All markets adapt at once: each has copies of the layers, and of the tables only the rows it
    uses, since no other row moves.

    Parameters
    ----------
    network : NMFNetwork
        What is adapted.
    examples : Examples
        Equally many rows of each market: the first half adapts, the second judges.
    rate : float
        Length of the adapting step.
    """
    shape = (len(examples.runs), 2, -1)
    users, items = examples.users.view(shape), examples.items.view(shape)
    labels = examples.labels.view(shape)
    drop = network.tower.dropout if network.training else 0.0
    sides = (users, items, users, items)
    tables = (network.gmf_users, network.gmf_items, network.mlp_users, network.mlp_items)
    rows = [table(side) for table, side in zip(tables, sides, strict=True)]
    own = [read.select(1, 0) for read in rows]
    layers = [network.tower.first, *network.tower.rest, network.output]
    dense = [
        parameter.expand(shape[0], *parameter.shape)
        for layer in layers
        for parameter in (layer.weight, layer.bias)
    ]
    before = _loss(_logits(own, dense, drop), labels[:, 0])
    # Markets share nothing here, so the gradient of the sum holds the gradient of each.
    inner = torch.autograd.grad(before.sum(), [*own, *dense], create_graph=True)
    moved_rows = []
    for read, side, slope in zip(rows, sides, inner, strict=False):
        same = side[:, 1, :, None] == side[:, 0, None, :]
        moved_rows.append(read.select(1, 1) - rate * (same.to(slope.dtype) @ slope))
    moved = [value - rate * slope for value, slope in zip(dense, inner[len(own) :], strict=True)]
    return _loss(_logits(moved_rows, moved, drop), labels[:, 1]).mean()


def _logits(rows: Sequence[Tensor], dense: Sequence[Tensor], drop: float) -> Tensor:
    """NMF of rows [markets, n, d] by layers of each market's own, float32 [markets, n]."""
    gmf_users, gmf_items, z, mlp_items = rows
    z = torch.cat([z, mlp_items], -1)
    layers = list(zip(dense[::2], dense[1::2], strict=True))
    for weight, bias in layers[:-1]:
        z = F.dropout(torch.relu(_linear(z, weight, bias)), drop, drop > 0)
    return _linear(torch.cat([z, gmf_users * gmf_items], -1), *layers[-1]).squeeze(-1)


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each market, float32 [markets]."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="none").mean(1)
