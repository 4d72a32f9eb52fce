"""Counts of items: the same scores for everyone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from crossmarket.artifact.forms.base import Floats, Form, MarketShape, Place, Rows, Strategy
from crossmarket.artifact.tensors import Arrays, Tensors


@dataclass(frozen=True)
class CountForm(Form):
    """Scores that do not depend on the user.

    Attributes
    ----------
    counts : float32 [m]
        Score of each item of the catalogue.
    """

    kind: ClassVar[str] = "counts"
    supports_fold_in: ClassVar[bool] = False
    counts: Floats

    @property
    def strategy(self) -> Strategy:
        """What sells most, for known users too."""
        return "popular"

    def facts(self) -> dict[str, Any]:
        """Nothing besides the counts."""
        return {}

    def tensors(self) -> dict[Place, Arrays]:
        """The counts are the market's."""
        return {"items": {"counts": self.counts}}

    @classmethod
    def restore(
        cls, facts: Mapping[str, Any], files: Mapping[Place, Tensors], market: MarketShape
    ) -> Self:
        """Take the counts out."""
        return cls(files["items"].take("counts", np.float32, (len(market.catalogue),)))

    def score_user(self, user: int, history: Rows) -> Floats:
        """The counts."""
        return self.counts.copy()
