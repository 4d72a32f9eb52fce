"""The network of CAT-SR: one layer of causal attention over frozen item vectors."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.models.layers import fast_dropout
from crossmarket.models.network import NetworkConfig, freeze
from crossmarket.models.sequential import SequenceNetwork
from crossmarket.models.transformer import EncoderLayer, init_normal, readable_tokens


class CatSRNetworkConfig(NetworkConfig):
    """Settings of one training of `CatSRNetwork`."""

    num_heads: int = Field(
        4, ge=1, description="Attention heads; divides the vectors' width. Source: CAT-SR, 4."
    )
    inner_size: int = Field(
        256, ge=1, description="Width inside the feed-forward part. Source: CAT-SR, 256."
    )
    dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of outputs and attention weights dropped. Source: CAT-SR, 0.5.",
    )
    max_length: int = Field(50, ge=1, description="Most items of a history. Source: CAT-SR, 50.")
    batch_size: int = Field(
        32,
        ge=1,
        description="Sequences of a step, each with all its prefixes. Source: CAT-SR, 256 "
        "prefixes, which are some 32 sequences.",
    )


class CatSRNetwork(SequenceNetwork):
    """`Drop(LN(e_i + p_position))`, then one causal encoder layer; logits are `user . e_i`.

    Parameters
    ----------
    vectors : float32 [num_items, d]
        Item vectors, frozen; position `num_items` is the padding.
    config : CatSRNetworkConfig
        Heads, widths, dropout, lengths.
    adapters : bool
        Let queries and keys pass a layer of their own.
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, config: CatSRNetworkConfig, *, adapters: bool) -> None:
        super().__init__()
        width = vectors.shape[1]
        self.num_items, self.dropout = len(vectors), config.dropout
        self.longest_history = config.max_length
        self.register_buffer("vectors", F.pad(vectors.detach(), (0, 0, 0, 1)))
        self.positions = nn.Embedding(config.max_length, width)
        self.norm = nn.LayerNorm(width)
        self.layer = EncoderLayer(
            width,
            config.num_heads,
            config.inner_size,
            config.dropout,
            attention_dropout=config.dropout,
            adapters=adapters,
        )
        init_normal(self)

    def encode(self, sequences: Tensor) -> Tensor:
        """Encode items, int64 [n, L], padded on the left; float32 [n, L, d].

        A position is counted from the oldest item and nothing later is read, so the output at
        an item is that of the prefix which ends there.
        """
        real = sequences != self.num_items
        padded = (~real).sum(dim=1, keepdim=True)
        places = torch.arange(sequences.shape[1], device=sequences.device) - padded
        x = F.embedding(sequences, self.vectors) + self.positions(places.clamp(min=0))
        x = fast_dropout(self.norm(x), self.dropout, self.training)
        return self.layer(x, readable_tokens(real, causal=True))  # type: ignore[no-any-return]

    def next_vectors(self, sequences: Tensor) -> Tensor:
        """Output at the newest item; see `SequenceNetwork`."""
        return self.encode(sequences)[:, -1]

    def output(self) -> tuple[Tensor, None]:
        """Vectors of the items; there are no biases."""
        return self.vectors[: self.num_items], None

    def carry_over(self, source: CatSRNetwork) -> None:
        """Take the query and key projections of a pre-trained network and freeze them."""
        own, other = self.layer.attention, source.layer.attention
        own.query.load_state_dict(other.query.state_dict())
        own.key.load_state_dict(other.key.state_dict())
        freeze(own.query, own.key)
