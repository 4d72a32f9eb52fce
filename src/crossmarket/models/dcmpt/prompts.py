"""Attention-mixed prompts added to frozen node features (DCMPT, stage 3; GPF-plus)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

PromptKind = Literal["attention", "global", "none"]


@dataclass
class PromptBank:
    """Basis prompts and the attention that mixes them for each node.

    Attributes
    ----------
    basis : float32 [M, d]
        Basis prompts p_1..p_M.
    attention : float32 [M, d] or None
        Attention vectors a_1..a_M; None mixes evenly (a single global prompt).
    bias : float32 [M] or None
        Bias of the attention logits.
    split : bool
        With separate banks, the first half of the prompts serves users, the second half items.
    """

    basis: Tensor
    attention: Tensor | None
    bias: Tensor | None
    split: bool = False

    @classmethod
    def create(
        cls,
        kind: PromptKind,
        num_prompts: int,
        width: int,
        generator: torch.Generator,
        *,
        zeros: bool = False,
        attn_bias: bool = False,
        split: bool = False,
    ) -> PromptBank:
        """Initialise a bank: Glorot-uniform basis (or zeros), default linear attention.

        With zeros the first student is the frozen backbone itself.
        """
        count = 1 if kind == "global" else num_prompts * (2 if split else 1)
        limit = 0.0 if zeros else math.sqrt(6 / (num_prompts + width))
        basis = (torch.rand(count, width, generator=generator) * 2 - 1) * limit
        if kind == "global":
            return cls(basis, None, None)
        bound = 1 / math.sqrt(width)
        attention = (torch.rand(count, width, generator=generator) * 2 - 1) * bound
        bias = torch.zeros(count) if attn_bias else None
        return cls(basis, attention, bias, split)

    def parameters(self) -> dict[str, Tensor]:
        """Trainable tensors by name."""
        named = {"basis": self.basis, "attention": self.attention, "bias": self.bias}
        return {name: tensor for name, tensor in named.items() if tensor is not None}

    def mixture(self, features: Tensor, num_users: int) -> Tensor:
        """Attention of each node over the prompts, float32 [nodes, M], rows summing to 1.

        `alpha_nk = softmax_k(a_k . e_n + b_k)` with e_n the frozen feature of node n.

        Parameters
        ----------
        features : float32 [nodes, d]
            Frozen features; users first, then items.
        num_users : int
            How many of the nodes are users; only separate banks look at it.
        """
        if self.attention is None:
            return torch.ones(len(features), 1, device=features.device)
        logits = features @ self.attention.T
        if self.bias is not None:
            logits = logits + self.bias
        if self.split:
            foreign = torch.zeros(logits.shape, dtype=torch.bool, device=logits.device)
            half = logits.shape[1] // 2
            foreign[:num_users, half:] = True
            foreign[num_users:, :half] = True
            logits = logits.masked_fill(foreign, -torch.inf)
        return logits.softmax(dim=1)
