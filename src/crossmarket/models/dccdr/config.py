"""Settings of DCCDR."""

from __future__ import annotations

from pydantic import Field

from crossmarket.models.tables import TableConfig


class DCCDRConfig(TableConfig):
    """Settings of `DCCDR`."""

    embedding_size: int = Field(
        64,
        ge=2,
        multiple_of=2,
        description="Width of a vector: an invariant half, then a specific one. Source: DCMPT, 64.",
    )
    batch_size: int = Field(
        1024, ge=1, description="Positives of each domain in a step. Source: DCCDR, 1024."
    )
    alpha: float = Field(1e-3, ge=0, description="Weight of the contrast. Source: DCCDR, 1e-3.")
    contrast_temperature: float = Field(
        0.1, gt=0, description="Divides the cosines of the contrast. Source: DCCDR, 0.1."
    )
    contrast_items: int = Field(
        1024, ge=1, description="Most shared items a step contrasts. Source: ours."
    )
