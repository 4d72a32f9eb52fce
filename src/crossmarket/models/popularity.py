"""Popularity controls: what sells most, and what has sold most lately."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from crossmarket.artifact.forms import CountForm
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError
from crossmarket.models.arrays import FloatMatrix, Rows
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig

_DAY = 86_400


class PopularityConfig(ModelConfig):
    """Settings of `Popularity`."""

    markets: Literal["target", "all"] = Field(
        "target", description="Whose interactions are counted. Source: control."
    )


class DecayedPopularityConfig(PopularityConfig):
    """Settings of `DecayedPopularity`."""

    half_life: float = Field(
        120.0, gt=0, description="Days after which an interaction counts half. Source: control."
    )


class Popularity(Recommender):
    """Rank items by how many training interactions they have; the same list for everyone."""

    name = "popularity"
    summary = "training count of an item"
    paper = "control"
    family = "control"
    config_class: ClassVar[type[ModelConfig]] = PopularityConfig
    uses_sources = True
    supports_fold_in = True
    supports_cold_users = True
    closed_form = True
    config: PopularityConfig

    def _fit(self, train: MarketDataset, valid: MarketDataset | None) -> None:
        names = train.markets if self.config.markets == "all" else (self.target,)
        counts = np.zeros(len(train.items))
        for market in names:
            items = train.edges(market).items
            counts += np.bincount(items, self._weights(train, market), minlength=len(counts))
        self._counts = counts.astype(np.float32)

    def _weights(self, train: MarketDataset, market: str) -> NDArray[np.float64]:
        return np.ones(len(train.edges(market)))

    def serving_form(self) -> CountForm:
        """The counts of what the market sells."""
        return CountForm(self._counts[self.catalogue])

    def _score(self, users: Rows, items: Rows) -> FloatMatrix:
        return np.tile(self._counts[items], (len(users), 1))

    def _score_histories(self, histories: csr_array, items: Rows) -> FloatMatrix:
        return np.tile(self._counts[items], (histories.shape[0], 1))


class DecayedPopularity(Popularity):
    """Popularity in which an interaction loses half its weight every `half_life` days."""

    name = "decayed-popularity"
    summary = "training count with exponential decay of old interactions"
    config_class: ClassVar[type[ModelConfig]] = DecayedPopularityConfig
    closed_form = False
    config: DecayedPopularityConfig

    def _weights(self, train: MarketDataset, market: str) -> NDArray[np.float64]:
        times = train.edges(market).timestamps
        if not train.is_timed(market):
            raise DataError(
                f"{self.name} needs the time of every interaction and market {market!r} lacks "
                "some; map a timestamp column or leave this system out"
            )
        newest = max(int(train.edges(name).timestamps.max()) for name in train.markets)
        age = (newest - times) / _DAY
        return np.asarray(0.5 ** (age / self.config.half_life))
