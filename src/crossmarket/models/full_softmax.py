"""Cross entropy over a whole catalogue."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

#: Logits held at once: few enough that they stay in the caches.
_BLOCK = 1_000_000


class _FullSoftmax(torch.autograd.Function):
    # The gradient is made along with the loss, block by block, so that all logits of a step are
    # never held and none is computed twice.
    @staticmethod
    def forward(
        ctx: Any,
        vectors: Tensor,
        table: Tensor,
        bias: Tensor,
        targets: Tensor,
        weights: Tensor,
    ) -> Tensor:
        to_vectors, to_bias = torch.empty_like(vectors), torch.zeros_like(bias)
        to_table = torch.zeros_like(table) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=vectors.device)
        size = len(table)
        step = max(1, _BLOCK // size)
        first = torch.arange(min(step, len(vectors)), device=vectors.device) * size
        for start in range(0, len(vectors), step):
            block = slice(start, start + step)
            own, weight = vectors[block], weights[block]
            logits = torch.addmm(bias, own, table.T)
            logits -= logits.amax(dim=1, keepdim=True)
            wanted = first[: len(own)] + targets[block]
            positive = logits.view(-1).index_select(0, wanted)
            logits.exp_()
            sums = logits.sum(dim=1)
            total += ((sums.log() - positive) * weight).sum()
            logits *= (weight / sums)[:, None]
            pulled = logits.view(-1).index_select(0, wanted) - weight
            logits.view(-1).index_copy_(0, wanted, pulled)
            torch.mm(logits, table, out=to_vectors[block])
            to_bias += logits.sum(dim=0)
            if to_table is not None:
                to_table.addmm_(logits.T, own)
        ctx.gradients = to_vectors, to_table, to_bias
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        own = (None if part is None else part * grads[0] for part in ctx.gradients)
        return (*own, None, None)


def full_softmax(
    vectors: Tensor,
    table: Tensor,
    targets: Tensor,
    *,
    bias: Tensor | None = None,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross entropy of each target among all items, weighted mean.

    Parameters
    ----------
    vectors : float32 [n, d]
        What is asked for; the logits are `vectors table^T + bias`.
    table : float32 [items, d]
        Item vectors.
    targets : int64 [n]
        Rows of the table.
    bias : float32 [items], optional
        Added to the logits; nothing by default.
    weights : float32 [n], optional
        Weight of each term; equal by default.
    """
    bias = torch.zeros(len(table), device=table.device) if bias is None else bias
    weights = torch.ones(len(vectors), device=table.device) if weights is None else weights
    total = _FullSoftmax.apply(vectors, table, bias, targets, weights)  # type: ignore[no-untyped-call]
    return cast(Tensor, total) / weights.sum()
