"""What requests are answered from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from crossmarket.artifact.market import Market
from crossmarket.serving.problems import Problem


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All markets at one moment; nothing changes in it, and only itself equals it.

    Attributes
    ----------
    markets : mapping of str to Market
        Markets that can answer.
    unavailable : mapping of str to str
        Markets that should be served but cannot, and why.
    earlier : mapping of str to tuple of Market
        Versions of a market that a rollback can reach, the latest first.
    """

    markets: Mapping[str, Market] = field(default_factory=dict)
    unavailable: Mapping[str, str] = field(default_factory=dict)
    earlier: Mapping[str, tuple[Market, ...]] = field(default_factory=dict)

    def market(self, name: str, version: str | None = None) -> Market:
        """A market that can answer; the version that is served, or one of `versions`.

        Raises
        ------
        Problem
            If there is none of this name or version, or it is damaged.
        """
        found = self.markets.get(name)
        if found is not None:
            if version is None:
                return found
            for one in self.versions(name):
                if one.version == version:
                    return one
            raise Problem("unknown_version", "No such version of the market is in memory.")
        if name in self.unavailable:
            raise Problem(
                "market_unavailable",
                "The files of this market did not pass verification.",
                headers={"Retry-After": "60"},
            )
        raise Problem("unknown_market", "There is no such market; see /v1/markets.")

    def versions(self, name: str) -> tuple[Market, ...]:
        """What can answer for a market: the version that is served, then earlier ones."""
        return (self.markets[name], *self.earlier.get(name, ()))

    def replace(self, name: str, market: Market | None, earlier: tuple[Market, ...]) -> Snapshot:
        """The same with other versions of a market, or without it."""
        markets = {key: one for key, one in self.markets.items() if key != name}
        before = {key: one for key, one in self.earlier.items() if key != name}
        if market is not None:
            markets = dict(sorted({**markets, name: market}.items()))
            before[name] = earlier
        unavailable = {key: one for key, one in self.unavailable.items() if key != name}
        return Snapshot(markets, unavailable, before)
