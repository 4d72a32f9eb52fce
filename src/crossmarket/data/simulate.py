"""Made-up markets with known truth: the built-in data set, and a testing ground for models.

Every item has latent features around one of a few themes and every user a latent taste around a
few themes, drawn about the mean taste of the market. A purchase at time t draws an item that the
market sells and the user has not bought yet from

    softmax(affinity * <taste, features> + popularity in the market + trend * t),

so what one market teaches about items holds in the others, up to the shifts that the
configuration asks for. The random numbers of a market depend on the seed and on its name only.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from crossmarket.data.dataset import MarketDataset

#: Fewest interactions of a user, so that every split can take some away.
MIN_INTERACTIONS = 5

# Items that a market sells at least, so that every user finds enough to buy.
_MIN_ASSORTMENT = 20

_DAY_SECONDS = 86_400
_START = 1_640_995_200  # 2022-01-01 UTC
_WEIGHTS = np.array([3.0, 4.0, 5.0], dtype=np.float32)
_SLICES = 12


class SimulatedMarket(BaseModel):
    """Size of one simulated market."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$", description="name of the market")
    users: int = Field(ge=1, description="number of users")
    interactions_per_user: float = Field(
        ge=MIN_INTERACTIONS, description="mean number of purchases of a user"
    )


def _default_markets() -> tuple[SimulatedMarket, ...]:
    sizes = [("us", 700, 15), ("uk", 400, 14), ("de", 400, 12), ("jp", 150, 10), ("mx", 60, 9)]
    return tuple(
        SimulatedMarket(name=name, users=users, interactions_per_user=mean)
        for name, users, mean in sizes
    )


class SimulationConfig(BaseModel):
    """What the simulated markets are like; the defaults give five markets, from rich to tiny."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, description="seed of all random numbers")
    markets: tuple[SimulatedMarket, ...] = Field(
        default_factory=_default_markets, min_length=1, description="the markets and their sizes"
    )
    num_items: int = Field(
        default=800, ge=_MIN_ASSORTMENT, le=1_000_000, description="items that a market may sell"
    )
    shared_items: float = Field(
        default=0.4, ge=0, le=1, description="share of all items that every market sells"
    )
    sold_elsewhere: float = Field(
        default=0.3, ge=0, le=1, description="chance that a market sells one of the other items"
    )
    num_factors: int = Field(default=16, ge=1, description="dimensions of tastes and features")
    num_themes: int = Field(default=20, ge=1, description="clusters that the items form")
    affinity: float = Field(
        default=6.0, ge=0, description="weight of personal taste against popularity"
    )
    popularity_skew: float = Field(
        default=0.5, ge=0, description="exponent of the Zipf law of item popularity"
    )
    popularity_shift: float = Field(
        default=0.4, ge=0, description="standard deviation of a market's own log-popularity"
    )
    taste_shift: float = Field(
        default=0.3, ge=0, description="distance of a market's mean taste from the common one"
    )
    duplicate_pairs: int = Field(
        default=20, ge=0, description="pairs of items with nearly equal features"
    )
    days: int = Field(default=720, ge=1, description="length of the history in days")
    trend: float = Field(
        default=0.4, ge=0, description="standard deviation of an item's log-popularity change"
    )
    growth: float = Field(
        default=0.5, ge=0, description="how much purchases crowd towards the end; 0 is evenly"
    )

    @model_validator(mode="after")
    def _check(self) -> SimulationConfig:
        names = [market.name for market in self.markets]
        if len(set(names)) != len(names):
            raise ValueError("two markets have the same name")
        if 2 * self.duplicate_pairs > self.num_items:
            raise ValueError("more items in duplicate_pairs than num_items")
        return self


@dataclass(frozen=True, eq=False)
class _MarketTruth:
    """Logits of all users and items, [users, num_items], and the items sold (bool)."""

    logits: NDArray[np.float64]
    sold: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Truth:
    """What the simulation knows and a model has to find out.

    Attributes
    ----------
    duplicate_pairs : tuple of (str, str)
        Ids of items with nearly equal features; some may have been bought nowhere.
    markets : tuple of str
        Markets in the order of `similarity`.
    similarity : float64 [markets, markets]
        Cosine similarity of what the markets' users want on average, were everything sold.
    """

    duplicate_pairs: tuple[tuple[str, str], ...]
    markets: tuple[str, ...]
    similarity: NDArray[np.float64]
    _by_market: Mapping[str, _MarketTruth]
    _columns: Mapping[str, NDArray[np.int64]]
    _trend: NDArray[np.float64]

    def probabilities(self, market: str) -> NDArray[np.float64]:
        """Chance that a user's next purchase is an item, averaged over the whole history.

        Parameters
        ----------
        market : str
            One of the markets.

        Returns
        -------
        float64 [users, catalogue items], in the order of the data set's user vocabulary and of
        its catalogue; each row sums to 1.
        """
        columns = self._columns[market]
        logits = self._by_market[market].logits[:, columns]
        times = (np.arange(_SLICES) + 0.5) / _SLICES - 0.5
        slices = [_softmax(logits + time * self._trend[columns]) for time in times]
        mean: NDArray[np.float64] = np.mean(slices, axis=0)
        return mean

    def to_dict(self) -> dict[str, Any]:
        """The pairs and the similarities as JSON-able values."""
        return {
            "duplicate_pairs": [list(pair) for pair in self.duplicate_pairs],
            "markets": list(self.markets),
            "similarity": self.similarity.round(12).tolist(),
        }


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulated data set and the truth behind it."""

    dataset: MarketDataset
    truth: Truth


def simulate(config: SimulationConfig | None = None) -> Simulation:
    """Simulate markets; the same configuration gives the same bytes.

    Parameters
    ----------
    config : SimulationConfig, optional
        What the markets are like; the defaults when left out.
    """
    config = config or SimulationConfig()
    world = _World(config)
    markets = {market.name: world.market(market) for market in config.markets}
    frames = [world.purchases(market, markets[market.name]) for market in config.markets]
    dataset = MarketDataset.from_frame(pl.concat(frames))
    positions = {name: row for row, name in enumerate(world.item_ids)}
    rows = np.array([positions[name] for name in dataset.items.ids], dtype=np.int64)
    demand = np.stack([_softmax(markets[name].logits).mean(axis=0) for name in dataset.markets])
    demand /= np.linalg.norm(demand, axis=1, keepdims=True)
    truth = Truth(
        tuple((world.item_ids[left], world.item_ids[right]) for left, right in world.pairs),
        dataset.markets,
        demand @ demand.T,
        markets,
        {name: rows[dataset.catalogue(name)] for name in dataset.markets},
        world.trend,
    )
    return Simulation(dataset, truth)


class _World:
    """What all markets share: the items."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        random = np.random.default_rng([config.seed, 0])
        count, factors = config.num_items, config.num_factors
        self.themes = _directions(random, config.num_themes, factors)
        noise = 0.5 * _directions(random, count, factors)
        self.features = self.themes[random.integers(config.num_themes, size=count)] + noise
        ranks = random.permutation(count) + 1
        self.popularity = -config.popularity_skew * np.log(ranks)
        self.trend = config.trend * random.standard_normal(count)
        self.shared = random.random(count) < config.shared_items
        self.pairs = random.permutation(count)[: 2 * config.duplicate_pairs].reshape(-1, 2)
        twins = 0.02 * _directions(random, len(self.pairs), factors)
        self.features[self.pairs[:, 1]] = self.features[self.pairs[:, 0]] + twins
        width = len(str(count - 1))
        self.item_ids = [f"item-{row:0{width}}" for row in range(count)]

    def market(self, market: SimulatedMarket) -> _MarketTruth:
        """Draw the tastes, the popularity and the assortment of one market."""
        config = self.config
        random = np.random.default_rng([config.seed, 1, zlib.crc32(market.name.encode())])
        shift = config.taste_shift * _directions(random, 1, config.num_factors)
        interests = random.dirichlet(np.full(config.num_themes, 0.15), size=market.users)
        own = 0.3 * _directions(random, market.users, config.num_factors)
        tastes = shift + interests @ self.themes + own
        own_popularity = config.popularity_shift * random.standard_normal(config.num_items)
        logits = config.affinity * (tastes @ self.features.T) + self.popularity + own_popularity
        draws = np.where(self.shared, -1.0, random.random(config.num_items))
        sold = draws < config.sold_elsewhere
        sold[np.argsort(draws, kind="stable")[:_MIN_ASSORTMENT]] = True
        return _MarketTruth(logits, sold)

    def purchases(self, market: SimulatedMarket, truth: _MarketTruth) -> pl.DataFrame:
        """Draw the purchases of one market, one round of all its users after the other."""
        config = self.config
        random = np.random.default_rng([config.seed, 2, zlib.crc32(market.name.encode())])
        sold = np.flatnonzero(truth.sold)
        extra = random.gamma(
            2.0, (market.interactions_per_user - MIN_INTERACTIONS) / 2, market.users
        )
        counts = np.minimum(MIN_INTERACTIONS + random.poisson(extra), len(sold) // 2)
        times = random.random((market.users, int(counts.max()))) ** (1 / (1 + config.growth))
        logits = truth.logits[:, sold].copy()
        users, items, when = [], [], []
        for turn in range(times.shape[1]):
            active = np.flatnonzero(counts > turn)
            now = times[active, turn]
            noise = random.gumbel(size=(len(active), len(sold)))
            drift = (now - 0.5)[:, None] * self.trend[sold]
            # The largest logit plus Gumbel noise is a draw from their softmax.
            bought = np.argmax(logits[active] + drift + noise, axis=1)
            logits[active, bought] = -np.inf
            users.append(active)
            items.append(sold[bought])
            when.append(now)
        rows, columns = np.concatenate(users), np.concatenate(items)
        seconds = _START + (np.concatenate(when) * config.days * _DAY_SECONDS).astype(np.int64)
        width = len(str(market.users - 1))
        return pl.DataFrame(
            {
                "market": pl.repeat(market.name, len(rows), eager=True),
                "user_id": [f"{market.name}-{row:0{width}}" for row in rows],
                "item_id": [self.item_ids[column] for column in columns],
                "weight": random.choice(_WEIGHTS, size=len(rows), p=[0.15, 0.25, 0.6]),
                "timestamp": seconds,
            }
        )


def _directions(random: np.random.Generator, count: int, factors: int) -> NDArray[np.float64]:
    """Random vectors of length about 1."""
    vectors: NDArray[np.float64] = random.standard_normal((count, factors)) / np.sqrt(factors)
    return vectors


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return result
