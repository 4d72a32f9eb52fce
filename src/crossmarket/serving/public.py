"""The addresses of the service itself."""

from __future__ import annotations

import asyncio

import orjson
from prometheus_client import CONTENT_TYPE_LATEST

from crossmarket.artifact.answers import Answer
from crossmarket.artifact.market import Market
from crossmarket.serving.answering import Answering, facts, rendered, similar
from crossmarket.serving.messages import Request, Response, invalid
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.openapi import describe
from crossmarket.serving.registry import Registry
from crossmarket.serving.routing import Route, Router
from crossmarket.serving.schema import BatchRequest, RecommendationRequest
from crossmarket.serving.settings import Limits

_DEFAULT_LENGTH = 10
_NOTHING: frozenset[str] = frozenset()
_LIST, _SIMILAR = frozenset({"k", "include_seen"}), frozenset({"k"})
_BOOLEANS = {"true": True, "false": False}


class Public:
    """Handlers over the registry's current snapshot; each takes it once.

    Parameters
    ----------
    registry : Registry
        The markets.
    answering : Answering
        Makes lists of requests with a body.
    metrics : Metrics
        What is counted.
    limits : Limits
        Bounds of `k`.
    """

    def __init__(
        self, registry: Registry, answering: Answering, metrics: Metrics, limits: Limits
    ) -> None:
        self._registry, self._answering = registry, answering
        self._metrics, self._limits = metrics, limits

    def router(self) -> Router:
        """All addresses."""
        market = "/v1/markets/{market}"
        return Router(
            [
                Route("GET", f"{market}/users/{{user}}/recommendations", self.list_of_user),
                Route("POST", f"{market}/recommendations", self.recommend, RecommendationRequest),
                Route("POST", f"{market}/batch", self.batch, BatchRequest),
                Route("GET", f"{market}/items/{{item}}/similar", self.similar),
                Route("GET", market, self.market),
                Route("GET", "/v1/markets", self.markets),
                Route("GET", "/livez", live, is_light=True),
                Route("GET", "/readyz", self.ready, is_light=True),
                Route("GET", "/metrics", self.metrics, is_light=True),
                Route("GET", "/openapi.json", self.openapi),
            ]
        )

    def list_of_user(self, request: Request) -> Response:
        """The list of a known user; the address that is asked most."""
        query = request.query(_LIST)
        k = self._length(query)
        seen = query.get("include_seen", "false")
        if seen not in _BOOLEANS:
            raise invalid([("query.include_seen", "must be true or false")])
        market = self._market(request)
        user = request.path["user"]
        answer = market.recommend(user, k=k, exclude_seen=not _BOOLEANS[seen])
        return self._list(answer)

    async def recommend(self, request: Request) -> Response:
        """A list for a user or a history, with all that a body can ask for."""
        market = self._market(request)
        return self._list(await self._answering.recommend(market, request.body))

    async def batch(self, request: Request) -> Response:
        """Several lists of one version; other requests are answered in between."""
        market = self._market(request)
        answers = []
        for one in request.body.requests:
            answer = await self._answering.recommend(market, one)
            self._metrics.listed(answer.market, answer.strategy)
            answers.append(rendered(answer))
            await asyncio.sleep(0)
        whole = {"market": market.name, "version": market.version, "backbone": market.backbone}
        return Response.json({**whole, "answers": answers})

    def similar(self, request: Request) -> Response:
        """Items like an item."""
        k = self._length(request.query(_SIMILAR))
        return self._list(similar(self._market(request), request.path["item"], k))

    def market(self, request: Request) -> Response:
        """What a market is."""
        request.query(_NOTHING)
        return Response.json(facts(self._market(request)))

    def markets(self, request: Request) -> Response:
        """All markets."""
        request.query(_NOTHING)
        now = self._registry.now
        known = [facts(market) for market in now.markets.values()]
        return Response.json({"markets": known, "unavailable": sorted(now.unavailable)})

    def ready(self, request: Request) -> Response:
        """Which markets can answer; 503 where none can."""
        now = self._registry.now
        states = dict.fromkeys(now.markets, "ready") | dict.fromkeys(now.unavailable, "unavailable")
        status = "degraded" if now.unavailable else "ready"
        if not now.markets:
            status = "unavailable"
        return Response.json(
            {"status": status, "markets": states}, status=200 if now.markets else 503
        )

    def metrics(self, request: Request) -> Response:
        """Counters for Prometheus."""
        return Response(200, self._metrics.render(self._registry), CONTENT_TYPE_LATEST)

    def openapi(self, request: Request) -> Response:
        """The description of all this, with examples that work as they stand."""
        return Response(200, orjson.dumps(describe(self._registry.now, self._limits)))

    def _market(self, request: Request) -> Market:
        return self._registry.now.market(request.path["market"])

    def _length(self, query: dict[str, str]) -> int:
        text, limit = query.get("k"), self._limits.k
        if text is None:
            return _DEFAULT_LENGTH
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= limit):
            raise invalid([("query.k", f"must be a whole number from 1 to {limit}")])
        return int(text)

    def _list(self, answer: Answer) -> Response:
        self._metrics.listed(answer.market, answer.strategy)
        return Response(200, orjson.dumps(rendered(answer)))


def live(request: Request) -> Response:
    """The process answers."""
    return Response.json({"status": "alive"})
