"""Ranking objectives of embedding models."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Similarity = Literal["dot", "cosine"]


def bpr(positive: Tensor, negative: Tensor) -> Tensor:
    """Bayesian personalised ranking, mean of `softplus(negative - positive)` (Rendle et al. 2009).

    Parameters
    ----------
    positive : float [B]
        Scores of observed pairs.
    negative : float [B, n]
        Scores of unobserved items of the same users.
    """
    return F.softplus(negative - positive[:, None]).mean()


def sampled_softmax(positive: Tensor, negative: Tensor, same: Tensor) -> Tensor:
    """Sum over users of the cross entropy of the positive among sampled negatives.

    Parameters
    ----------
    positive : float [B]
        Logits of observed pairs.
    negative : float [B, n]
        Logits of the sampled items.
    same : bool [B, n]
        Where a sampled item is the positive itself; it is left out of the denominator.
    """
    negative = negative.masked_fill(same, -torch.inf)
    everything = torch.cat([positive[:, None], negative], dim=1)
    return (everything.logsumexp(dim=1) - positive).sum()


def squared_norm(rows: Tensor, batch_size: int) -> Tensor:
    """L2 penalty of the rows a batch uses: sum of squares over the batch size (He et al. 2020)."""
    return rows.square().sum() / batch_size


def as_similarity(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Vectors whose inner products are the chosen similarity."""
    return F.normalize(vectors, dim=-1) if similarity == "cosine" else vectors
