"""The forms of what the explorer asks for."""

from __future__ import annotations

from pydantic import Field

from crossmarket.serving.schema import Form, MarketInfo


class Suggestion(Form):
    """An item that a market sells."""

    id: str
    title: str | None = Field(None, description="Where the market has one.")


class Suggestions(Form):
    """Items of a market whose ids start alike, in the order of the ids."""

    items: list[Suggestion]


class Quality(Form):
    """What an evaluation found in a market."""

    protocol: str
    seed: int
    metrics: dict[str, float] = Field(description="Means over users, and the number of `users`.")
    gain: dict[str, float] | None = Field(
        description="Differences to the same system learned from the market alone, if measured."
    )


class OverviewMarket(MarketInfo):
    """A market that can answer, and how well."""

    quality: Quality | None = Field(description="Null where nothing was measured.")


class PointMap(Form):
    """Points by market along the first two principal components of all of them."""

    explained: list[float | None] = Field(
        description="Share of the variance along each; null where the points do not differ."
    )
    points: dict[str, list[list[float]]]


class Overview(Form):
    """All markets side by side; matrices are in the order of `markets`."""

    markets: list[OverviewMarket]
    unavailable: list[str]
    overlap: list[list[int]] = Field(description="Items that both sell.")
    jaccard: list[list[float]] = Field(description="The same over the items that either sells.")
    cosine: list[list[float]] = Field(description="Of how often each item was bought.")
    prompts: PointMap | None = Field(description="Every prompt of every market.")
    banks: PointMap | None = Field(description="All prompts of a market as one point.")
