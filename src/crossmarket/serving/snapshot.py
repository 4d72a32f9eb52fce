"""What requests are answered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossmarket.artifact.market import Market
from crossmarket.serving.problems import Problem


@dataclass(frozen=True)
class Snapshot:
    """All markets at one moment; nothing changes in it.

    Attributes
    ----------
    markets : mapping of str to Market
        Markets that can answer.
    unavailable : mapping of str to str
        Markets that should be served but cannot, and why.
    """

    markets: Mapping[str, Market] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)

    def market(self, name: str) -> Market:
        """A market that can answer.

        Raises
        ------
        Problem
            If there is none of this name, or it is damaged.
        """
        found = self.markets.get(name)
        if found is not None:
            return found
        if name in self.unavailable:
            raise Problem(
                "market_unavailable",
                "The files of this market did not pass verification.",
                headers={"Retry-After": "60"},
            )
        raise Problem("unknown_market", "There is no such market; see /v1/markets.")

    def replace(self, name: str, market: Market | None) -> Snapshot:
        """The same with another version of a market, or without it."""
        markets = {key: one for key, one in self.markets.items() if key != name}
        if market is not None:
            markets = dict(sorted({**markets, name: market}.items()))
        unavailable = {key: one for key, one in self.unavailable.items() if key != name}
        return Snapshot(markets, unavailable)
