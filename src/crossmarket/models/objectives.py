"""Ranking objectives of embedding models."""

from __future__ import annotations

from typing import Any, Literal, cast

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


def cross_entropy(positive: Tensor, negative: Tensor) -> Tensor:
    """Binary cross entropy of observed (1) and unobserved (0) pairs, mean over all pairs.

    Parameters
    ----------
    positive : float [B]
        Logits of observed pairs.
    negative : float [B, n]
        Logits of unobserved items of the same users.
    """
    pairs = positive.numel() + negative.numel()
    return (F.softplus(-positive).sum() + F.softplus(negative).sum()) / pairs


class _SampledSoftmax(torch.autograd.Function):
    # Logits, probabilities and gradient take turns in one buffer; composed of built-in steps,
    # six copies of it would be written and read.
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, negatives: Tensor, same: Tensor) -> Tensor:
        positive = (users * items).sum(dim=1)
        logits = users @ negatives.T
        logits.view(-1).index_fill_(0, same, -torch.inf)
        largest = torch.maximum(logits.amax(dim=1), positive)
        weights = logits.sub_(largest[:, None]).exp_()
        own = (positive - largest).exp_()
        total = weights.sum(dim=1).add_(own)
        loss = (total.log() + largest - positive).sum()
        ctx.save_for_backward(users, items, negatives, weights, own, total)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        users, items, negatives, weights, own, total = ctx.saved_tensors
        scale = grads[0] / total
        pull = (own * scale - grads[0])[:, None]
        share = weights * scale[:, None]
        return torch.addmm(pull * items, share, negatives), pull * users, share.T @ users, None


def sampled_softmax(users: Tensor, items: Tensor, negatives: Tensor, same: Tensor) -> Tensor:
    """Sum over users of the cross entropy of the positive among shared sampled negatives.

    Parameters
    ----------
    users, items : float [B, d]
        Vectors of observed pairs; the inner product of two vectors is a logit.
    negatives : float [n, d]
        Vectors of the sampled items, the same for all users.
    same : int64 [m]
        Flat positions `user * n + sample` at which the sample is the positive itself; these are
        left out of the denominator.
    """
    return cast(Tensor, _SampledSoftmax.apply(users, items, negatives, same))  # type: ignore[no-untyped-call]


def squared_norm(rows: Tensor, batch_size: int) -> Tensor:
    """L2 penalty of the rows a batch uses: sum of squares over the batch size (He et al. 2020)."""
    return rows.square().sum() / batch_size


def as_similarity(vectors: Tensor, similarity: Similarity) -> Tensor:
    """Vectors whose inner products are the chosen similarity."""
    return F.normalize(vectors, dim=-1) if similarity == "cosine" else vectors
