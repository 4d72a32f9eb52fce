"""The network of BERT4Rec: items and [MASK]s, encoded in both directions."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.models.layers import fast_dropout
from crossmarket.models.network import NetworkConfig
from crossmarket.models.sequential import SequenceNetwork
from crossmarket.models.transformer import EncoderLayer, check_heads, init_normal, readable_tokens


class Bert4RecConfig(NetworkConfig):
    """Settings of `Bert4Rec`."""

    markets: Literal["target", "merged"] = Field(
        "merged", description="Whose histories are learned; merged is the '++' version."
    )
    embedding_size: int = Field(64, ge=1, description="Width of a token. Source: BERT4Rec, 64.")
    num_layers: int = Field(2, ge=1, description="Encoder layers. Source: BERT4Rec, 2.")
    num_heads: int = Field(
        2, ge=1, description="Attention heads; divides embedding_size. Source: BERT4Rec, 2."
    )
    inner_size: int = Field(
        256, ge=1, description="Width inside the feed-forward part. Source: BERT4Rec, 256."
    )
    dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of outputs and attention weights dropped. Source: BERT4Rec, 0.2.",
    )
    max_length: int = Field(
        50, ge=2, description="Most tokens of a sequence, [MASK] included. Source: BERT4Rec, 50."
    )
    mask_share: float = Field(
        0.6, gt=0, le=1, description="Share rho of masked items. Source: BERT4Rec on Beauty, 0.6."
    )
    num_maskings: int = Field(
        10,
        ge=0,
        description="Random maskings of a sequence in an epoch, besides the one that masks the "
        "last item. Source: BERT4Rec's code, 10.",
    )
    normalise_input: bool = Field(
        True,
        description="Layer norm and dropout before the first layer. Source: BERT4Rec's equations "
        "no, its code yes.",
    )
    learning_rate: float = Field(1e-4, gt=0, description="Rate of Adam. Source: BERT4Rec, 1e-4.")
    batch_size: int = Field(256, ge=1, description="Sequences of a step. Source: BERT4Rec, 256.")

    @field_validator("num_heads")
    @classmethod
    def _divides(cls, value: int, info: ValidationInfo) -> int:
        return check_heads(value, info.data.get("embedding_size", value))


class Bert4RecNetwork(SequenceNetwork):
    """Encoder over item and position vectors; its output layer shares the item vectors.

    Parameters
    ----------
    num_items : int
        Items; position `num_items` is the padding, the one after it [MASK].
    config : Bert4RecConfig
        Widths, dropout, lengths.
    """

    def __init__(self, num_items: int, config: Bert4RecConfig) -> None:
        super().__init__()
        width, self.num_items, self.dropout = config.embedding_size, num_items, config.dropout
        self.longest_history = config.max_length - 1
        self.items = nn.Embedding(num_items + 2, width)
        self.positions = nn.Embedding(config.max_length, width)
        self.norm = nn.LayerNorm(width) if config.normalise_input else None
        self.layers = nn.ModuleList(
            EncoderLayer(
                width,
                config.num_heads,
                config.inner_size,
                config.dropout,
                attention_dropout=config.dropout,
            )
            for _ in range(config.num_layers)
        )
        self.head = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(num_items))
        init_normal(self)

    def encode(self, sequences: Tensor) -> Tensor:
        """Encode items and [MASK]s, int64 [n, L], padded on the left; float32 [n, L, d]."""
        # Aligned to the right: the newest item has the last position whatever the length.
        places = self.positions.weight[-sequences.shape[1] :]
        x = self.items(sequences) + places
        if self.norm is not None:
            x = fast_dropout(self.norm(x), self.dropout, self.training)
        readable = readable_tokens(sequences != self.num_items)
        for layer in self.layers:
            x = layer(x, readable)
        return x  # type: ignore[no-any-return]

    def project(self, encoded: Tensor) -> Tensor:
        """Turn encoded tokens [.., d] into what is looked for: `GELU(h W + b)`."""
        return F.gelu(self.head(encoded))

    def next_vectors(self, sequences: Tensor) -> Tensor:
        """Append [MASK] and read it; see `SequenceNetwork`."""
        asked = F.pad(sequences, (0, 1), value=self.num_items + 1)
        return self.project(self.encode(asked)[:, -1])

    def output(self) -> tuple[Tensor, Tensor]:
        """Vectors and biases of the items."""
        return self.items.weight[: self.num_items], self.bias
