"""Layers that several systems share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def fast_dropout(x: Tensor, share: float, training: bool) -> Tensor:
    """Dropout from uniform draws, which come several times faster than Bernoulli ones."""
    if not training or share == 0:
        return x
    return x * torch.rand_like(x).ge_(share).div_(1 - share)


def activate(z: Tensor, dropout: float, training: bool) -> Tensor:
    """ReLU, in place, and dropout."""
    return fast_dropout(torch.relu_(z), dropout, training)


class PairLinear(nn.Linear):
    """Linear layer over the concatenation `[p; q]`, of which `p` and `q` only need to broadcast.

    Users [n, 1, d] and items [1, m, d] give [n, m, out] with n + m products instead of n * m.

    Parameters
    ----------
    first, second : int
        Widths of `p` and `q`.
    out : int
        Width of the result.
    bias : bool
        Whether a learned constant is added.
    """

    def __init__(self, first: int, second: int, out: int, bias: bool = True) -> None:
        super().__init__(first + second, out, bias=bias)
        self.first = first

    def forward(self, p: Tensor, q: Tensor) -> Tensor:  # type: ignore[override]
        """Return `W [p; q] + b`, float [..., out]."""
        left, right = self.weight[:, : self.first], self.weight[:, self.first :]
        return F.linear(p, left, self.bias) + F.linear(q, right)


class PairMLP(nn.Module):
    """Perceptron over `[p; q]` with ReLU, and dropout, after every layer.

    Parameters
    ----------
    embedding_size : int
        Width of `p`, and of `q` unless `second` says otherwise.
    hidden : sequence of int
        Widths of the layers.
    dropout : float
        Share of activations dropped in training.
    second : int, optional
        Width of `q`.
    """

    def __init__(
        self,
        embedding_size: int,
        hidden: Sequence[int],
        dropout: float = 0.0,
        second: int | None = None,
    ) -> None:
        super().__init__()
        self.first = PairLinear(embedding_size, second or embedding_size, hidden[0])
        self.rest = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(hidden))
        self.dropout = dropout

    def forward(self, p: Tensor, q: Tensor) -> Tensor:
        """Return the last activation, float [..., hidden[-1]]."""
        z = self._activate(self.first(p, q))
        for layer in self.rest:
            z = self._activate(layer(z))
        return z

    def _activate(self, z: Tensor) -> Tensor:
        return activate(z, self.dropout, self.training)


def perceptron(widths: Sequence[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers from `widths[0]` to `widths[-1]`, ReLU and dropout after each."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
        if dropout:
            layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def embedding(rows: int, width: int, std: float = 0.01) -> nn.Embedding:
    """Embedding table drawn from N(0, std^2)."""
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=std)
    return table


def fixed_embedding(vectors: Tensor) -> nn.Embedding:
    """Embedding table of given vectors, float32 [rows, width]: a copy, excluded from training."""
    table = nn.Embedding(*vectors.shape)
    table.weight = nn.Parameter(vectors.detach().clone(), requires_grad=False)
    return table


def pair_inner(p: Tensor, q: Tensor) -> Tensor:
    """Inner products over the last axis of vectors whose other axes broadcast.

    Users [n, 1, d] and items [1, m, d] meet in one matrix product.
    """
    if p.dim() == q.dim() == 3 and p.shape[1] == q.shape[0] == 1:
        return p.squeeze(1) @ q.squeeze(0).T
    return (p * q).sum(-1)
