"""Transformer encoder for many short sequences and narrow heads, fast on a processor.

Sequences stand side by side in the innermost dimension, so attention is a few passes over long
rows instead of thousands of tiny matrix products, each of which costs more to start than to do.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from crossmarket.models.layers import fast_dropout


class _LaneAttention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
        q = q * q.shape[1] ** -0.5
        weights = _weights(q, k, bias)
        ctx.save_for_backward(q, k, v, weights)
        return _mix(weights.transpose(1, 2), v)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        q, k, v, weights = ctx.saved_tensors
        pull = _inner(grads[0], v).mul_(weights)
        pull.addcmul_(weights, pull.sum(dim=2, keepdim=True), value=-1)
        to_q = _mix(pull.transpose(1, 2), k).mul_(q.shape[1] ** -0.5)
        return to_q, _mix(pull, q), _mix(weights, grads[0]), None


def _weights(scaled: Tensor, k: Tensor, bias: Tensor | None) -> Tensor:
    """Attention [h, n, n, s] of each position (second axis) to every other (third axis)."""
    logits = _inner(scaled, k)
    if bias is not None:
        logits.add_(bias)
    return logits.softmax(dim=2)


def _inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products over the head's width: two [h, w, n, s] give [h, n, n, s]."""
    products = a[:, 0, :, None] * b[:, 0, None]
    for place in range(1, a.shape[1]):
        products.addcmul_(a[:, place, :, None], b[:, place, None])
    return products


def _mix(weights: Tensor, values: Tensor) -> Tensor:
    """Sum `values` [h, w, n, s] over positions, by `weights` [h, n, m, s]: [h, w, m, s]."""
    total = weights[:, None, 0] * values[:, :, 0, None]
    for place in range(1, values.shape[2]):
        total.addcmul_(weights[:, None, place], values[:, :, place, None])
    return total


def lane_attention(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Scaled dot-product attention of every position to every other.

    Parameters
    ----------
    q, k, v : float32 [heads, head width, positions, sequences]
        Queries, keys and values.
    bias : float32 [positions, sequences], optional
        Added to the logits of each key; -inf hides it.

    Returns
    -------
    float32 [heads, head width, positions, sequences]
    """
    return cast(Tensor, _LaneAttention.apply(q, k, v, bias))  # type: ignore[no-untyped-call]


class LaneEncoderLayer(nn.Module):
    """One post-norm layer: attention, then a perceptron, each dropped out, added and normalised.

    Parameters
    ----------
    width : int
        Width of a token.
    num_heads : int
        Heads; divides `width`.
    hidden : int
        Width inside the perceptron.
    dropout : float
        Share of each sublayer's output dropped in training.
    """

    def __init__(self, width: int, num_heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.projection = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.first_norm, self.second_norm = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Encode float32 [positions, sequences, width]; for `bias` see `lane_attention`."""
        width = tokens.shape[2]
        flat = tokens.reshape(-1, width)
        heads = self._heads(tokens)
        mixed = lane_attention(heads[0], heads[1], heads[2], bias)
        attended = self.output(mixed.view(width, -1).T)
        flat = self.first_norm(flat + fast_dropout(attended, self.dropout, self.training))
        thought = self.outer(torch.relu_(self.inner(flat)))
        flat = self.second_norm(flat + fast_dropout(thought, self.dropout, self.training))
        return flat.view(tokens.shape)  # type: ignore[no-any-return]

    def attention(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        """Mean over heads of the attention weights, float32 [queries, keys, sequences]."""
        query, key, _ = self._heads(tokens)
        return _weights(query * query.shape[1] ** -0.5, key, bias).mean(dim=0)

    def _heads(self, tokens: Tensor) -> Tensor:
        """Queries, keys and values, float32 [3, heads, head width, positions, sequences]."""
        length, count, width = tokens.shape
        flat = tokens.reshape(-1, width)
        lanes = torch.addmm(self.projection.bias[:, None], self.projection.weight, flat.T)
        return lanes.view(3, self.num_heads, -1, length, count)


class LaneEncoder(nn.Module):
    """A stack of layers that ignores padding.

    Parameters
    ----------
    num_layers : int
        Layers.
    width, num_heads, hidden, dropout
        See `LaneEncoderLayer`.
    """

    def __init__(
        self, num_layers: int, width: int, num_heads: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            LaneEncoderLayer(width, num_heads, hidden, dropout) for _ in range(num_layers)
        )

    def forward(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Encode sequences.

        Parameters
        ----------
        tokens : float32 [positions, sequences, width]
            Every sequence has at least one real token.
        padding : bool [positions, sequences], optional
            Tokens that nothing may attend to; None: there are none.

        Returns
        -------
        float32 [positions, sequences, width]; meaningless where `padding` is set.
        """
        bias = _key_bias(padding)
        for layer in self.layers:
            tokens = layer(tokens, bias)
        return tokens

    def attention(self, tokens: Tensor, padding: Tensor | None = None) -> Tensor:
        """Attention weights of the last layer, mean over its heads; arguments as in `forward`.

        Returns
        -------
        float32 [queries, keys, sequences]; the weights of a query sum to 1.
        """
        bias = _key_bias(padding)
        *lower, last = self.layers
        for layer in lower:
            tokens = layer(tokens, bias)
        return last.attention(tokens, bias)  # type: ignore[no-any-return, operator]


def _key_bias(padding: Tensor | None) -> Tensor | None:
    """What hides padding: -inf where it is, 0 elsewhere."""
    if padding is None:
        return None
    return torch.zeros(padding.shape, device=padding.device).masked_fill_(padding, -torch.inf)
