"""Transformer encoder layers that sequence systems share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.models.layers import fast_dropout

Activation = Literal["relu", "gelu"]
_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {"relu": F.relu, "gelu": F.gelu}


class SelfAttention(nn.Module):
    """`[head_1; ..; head_g] W_O` with `head_j = softmax(Q_j K_j^T / sqrt(d / g)) V_j`.

    Parameters
    ----------
    width : int
        Width d of a token; a multiple of `num_heads`.
    num_heads : int
        Heads g.
    dropout : float
        Share of attention weights dropped in training.
    adapters : bool
        Let queries and keys pass a layer of their own, `ReLU(Q A_Q + c_Q)` and
        `ReLU(K A_K + c_K)`.
    """

    def __init__(
        self, width: int, num_heads: int, dropout: float = 0.0, *, adapters: bool = False
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.query_adapter: nn.Module = _adapter(width) if adapters else nn.Identity()
        self.key_adapter: nn.Module = _adapter(width) if adapters else nn.Identity()

    def forward(self, x: Tensor, readable: Tensor) -> Tensor:
        """Mix tokens, float [n, L, d].

        Parameters
        ----------
        x : float [n, L, d]
            Tokens.
        readable : bool [n, L, L]
            Whether the token of a row may read that of a column; something in every row.
        """
        query = self._split(self.query_adapter(self.query(x)))
        key = self._split(self.key_adapter(self.key(x)))
        logits = query @ key.mT / query.shape[-1] ** 0.5
        weights = logits.masked_fill(~readable[:, None], -torch.inf).softmax(dim=-1)
        weights = fast_dropout(weights, self.dropout, self.training)
        mixed = weights @ self._split(self.value(x))
        return self.output(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)


def _adapter(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU())


class EncoderLayer(nn.Module):
    """`C = LN(x + Drop(MH(x)))`, then `LN(C + Drop(FFN(C)))` (post-norm, Vaswani et al. 2017).

    Parameters
    ----------
    width, num_heads : int
        As in `SelfAttention`.
    inner : int
        Width inside the feed-forward part, `FFN(x) = act(x W_1 + b_1) W_2 + b_2`.
    dropout : float
        Share of both parts' results dropped in training.
    attention_dropout : float
        Share of attention weights dropped in training.
    activation : {"relu", "gelu"}
        The feed-forward part's.
    adapters : bool
        As in `SelfAttention`.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        inner: int,
        dropout: float = 0.0,
        *,
        attention_dropout: float = 0.0,
        activation: Activation = "gelu",
        adapters: bool = False,
    ) -> None:
        super().__init__()
        self.attention = SelfAttention(width, num_heads, attention_dropout, adapters=adapters)
        self.attention_norm = nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, inner), nn.Linear(inner, width)
        self.output_norm = nn.LayerNorm(width)
        self.dropout, self.activation = dropout, _ACTIVATIONS[activation]

    def forward(self, x: Tensor, readable: Tensor) -> Tensor:
        """Encode tokens, float [n, L, d]; arguments as in `SelfAttention`."""
        mixed = self.attention(x, readable)
        x = self.attention_norm(x + fast_dropout(mixed, self.dropout, self.training))
        thought = self.narrow(self.activation(self.widen(x)))
        return self.output_norm(x + fast_dropout(thought, self.dropout, self.training))  # type: ignore[no-any-return]


def readable_tokens(real: Tensor, *, causal: bool = False) -> Tensor:
    """Which tokens a token may read: those that are no padding, and always itself.

    Parameters
    ----------
    real : bool [n, L]
        Whether a token is no padding.
    causal : bool
        Hide what comes later.

    Returns
    -------
    bool [n, L, L]
    """
    square = (real.shape[1], real.shape[1])
    itself = torch.eye(square[0], dtype=torch.bool, device=real.device)
    allowed = real[:, None, :].expand(-1, square[0], -1)
    if causal:
        allowed = allowed & torch.ones(square, dtype=torch.bool, device=real.device).tril()
    return allowed | itself


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Draw the weights of all linear layers and tables from N(0, std^2); biases are zero."""
    for module in network.modules():
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)


def check_heads(num_heads: int, width: int) -> int:
    """Return the number of heads if the width can be shared out among them, else ValueError."""
    if width % num_heads:
        raise ValueError(f"a width of {width} cannot be shared out among {num_heads} heads")
    return num_heads
