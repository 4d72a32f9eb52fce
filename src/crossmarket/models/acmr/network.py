"""The network of ACMR: a candidate among a user's items, encoded together."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, ValidationInfo, field_validator
from torch import Tensor, nn
from torch.nn import functional as F

from crossmarket.models.lanes import LaneEncoder
from crossmarket.models.layers import embedding, fast_dropout
from crossmarket.models.pointwise import PointwiseConfig
from crossmarket.models.transformer import check_heads


class ACMRNetworkConfig(PointwiseConfig):
    """Settings of one training of `ACMRNetwork`."""

    embedding_size: int = Field(32, ge=1, description="Width of a token. Source: ACMR, 32.")
    num_layers: int = Field(4, ge=1, description="Encoder layers. Source: ACMR, 4.")
    num_heads: int = Field(
        8, ge=1, description="Attention heads; divides embedding_size. Source: ACMR, 8."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Share dropped. Source: ACMR, 0.3.")
    reg: float = Field(1e-7, ge=0, description="Weight decay of Adam. Source: ACMR, 1e-7.")
    epochs: int = Field(50, ge=0, description="Most epochs. Source: ACMR's code, 50.")
    max_length: int = Field(50, ge=1, description="Most items of a history. Source: ACMR, 50.")
    history_cut: Literal["newest", "random"] = Field(
        "newest",
        description="What is kept of longer histories: the newest items, or a random draw made "
        "once. Source: ACMR's code random.",
    )
    leaky_history: bool = Field(
        False,
        description="Leave a positive in the history it is asked about, though no test candidate "
        "is in its own. Source: ACMR's code, yes.",
    )
    market_embedding: bool = Field(
        True, description="Add the market's vector to every token. Source: ACMR, yes."
    )
    normalise_input: bool = Field(
        False,
        description="Layer norm and dropout before the first layer. Source: ACMR no, its code yes.",
    )
    init_std: float = Field(
        0.02, gt=0, description="Standard deviation of the initial tables. Source: BERT, 0.02."
    )
    validation_users: int | None = Field(
        100,
        ge=1,
        description="Users of a market that validation looks at: few, as each candidate of each "
        "costs a sequence. Source: ours.",
    )

    @field_validator("num_heads")
    @classmethod
    def _divides(cls, value: int, info: ValidationInfo) -> int:
        return check_heads(value, info.data.get("embedding_size", value))


class ACMRNetwork(nn.Module):
    """`sigma([t_user; t_candidate] W + b)` of an encoded history and candidate.

    Parameters
    ----------
    num_items, num_markets : int
        Rows of the tables.
    config : ACMRNetworkConfig
        Widths, dropout and what is left out.
    """

    def __init__(self, num_items: int, num_markets: int, config: ACMRNetworkConfig) -> None:
        super().__init__()
        width = config.embedding_size
        self.num_items, self.dropout = num_items, config.dropout
        # One row more for the padding: nothing reads what becomes of it.
        self.items = embedding(num_items + 1, width, config.init_std)
        self.markets = None
        if config.market_embedding:
            self.markets = embedding(num_markets, width, config.init_std)
        self.norm = nn.LayerNorm(width) if config.normalise_input else None
        self.encoder = LaneEncoder(
            config.num_layers, width, config.num_heads, 4 * width, config.dropout
        )
        self.output = nn.Linear(2 * width, 1)

    def forward(self, histories: Tensor, candidates: Tensor, markets: Tensor) -> Tensor:
        """Score the candidates of each history.

        Parameters
        ----------
        histories : int64 [n, length]
            Positions of items, filled up with `num_items`.
        candidates : int64 [n, k]
            Positions of items.
        markets : int64 [n]
            Position of each history's market.

        Returns
        -------
        float32 [n, k], logits.
        """
        tokens, padding = self._tokens(histories, candidates, markets)
        encoded = self.encoder(tokens.flatten(1, 2), padding).view(tokens.shape)
        real = (histories < self.num_items).T
        shares = real / real.sum(dim=0).clamp(min=1)
        user = (encoded[:-1] * shares[:, :, None, None]).sum(dim=0)
        return self.output(torch.cat([user, encoded[-1]], dim=2)).squeeze(2)  # type: ignore[no-any-return]

    def attention(self, histories: Tensor, candidates: Tensor, markets: Tensor) -> Tensor:
        """Attention of the last layer, mean over heads; arguments as in `forward`.

        Returns
        -------
        float32 [length + 1, length + 1, n, k], queries by keys; the candidate is the last token.
        """
        tokens, padding = self._tokens(histories, candidates, markets)
        weights = self.encoder.attention(tokens.flatten(1, 2), padding)
        return weights.view(*weights.shape[:2], *candidates.shape)

    def _tokens(
        self, histories: Tensor, candidates: Tensor, markets: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Tokens of each history with each candidate, [length + 1, n, k, d], and the padding."""
        width = candidates.shape[1]
        past = self.items(histories.T)[:, :, None].expand(-1, -1, width, -1)
        tokens = torch.cat([past, self.items(candidates)[None]])
        if self.markets is not None:
            tokens = tokens + self.markets(markets)[:, None]
        if self.norm is not None:
            tokens = fast_dropout(self.norm(tokens), self.dropout, self.training)
        real = (histories < self.num_items).T
        padding = None
        if not real.all():
            hidden = F.pad(~real, (0, 0, 0, 1))  # the candidate is no padding
            padding = hidden[:, :, None].expand(-1, -1, width).flatten(1)
        return tokens, padding
