"""The addresses of the service itself."""

from __future__ import annotations

import orjson
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crossmarket.artifact.market import Market
from crossmarket.serving.answering import Answering, Listed, listed, similar
from crossmarket.serving.descriptions import describe
from crossmarket.serving.load import Load
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.overview import described
from crossmarket.serving.registry import Registry
from crossmarket.serving.requests import invalid, read_body, read_count, read_query
from crossmarket.serving.responses import JsonResponse
from crossmarket.serving.schema import BatchRequest, VersionedRequest
from crossmarket.serving.settings import Limits

_DEFAULT_LENGTH = 10
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
    load : Load
        What else is being worked on; health and metrics are answered whatever it is.
    limits : Limits
        Bounds of `k` and of bodies.
    """

    def __init__(
        self,
        registry: Registry,
        answering: Answering,
        metrics: Metrics,
        load: Load,
        limits: Limits,
    ) -> None:
        self._registry, self._answering = registry, answering
        self._metrics, self._load, self._limits = metrics, load, limits

    def routes(self) -> list[Route]:
        """All addresses; a `/` in an id may come as it is or percent-encoded."""
        market = "/v1/markets/{market}"
        return [
            Route(f"{market}/users/{{user:path}}/recommendations", self.list_of_user),
            Route(f"{market}/recommendations", self.recommend, methods=["POST"]),
            Route(f"{market}/batch", self.batch, methods=["POST"]),
            Route(f"{market}/items/{{item:path}}/similar", self.similar),
            Route(market, self.market),
            Route("/v1/markets", self.markets),
            Route("/livez", live),
            Route("/readyz", self.ready),
            Route("/metrics", self.metrics),
            Route("/openapi.json", self.openapi),
        ]

    async def list_of_user(self, request: Request) -> Response:
        """The list of a known user; the address that is asked most."""
        query = read_query(request, _LIST)
        k = self._length(query)
        seen = query.get("include_seen", "false")
        if seen not in _BOOLEANS:
            raise invalid([("query.include_seen", "must be true or false")])
        user = request.path_params["user"]
        async with self._load.admitted(k):
            market = self._market(request)
            answer = market.recommend(user, k=k, exclude_seen=not _BOOLEANS[seen])
            return self._list(market, listed(answer))

    async def recommend(self, request: Request) -> Response:
        """A list for a user or a history, with all that a body can ask for."""
        body = await read_body(request, VersionedRequest, self._limits, self._load)
        async with self._load.admitted(body.k):
            market = self._registry.now.market(request.path_params["market"], body.version)
            return self._list(market, await self._answering.recommend(market, body))

    async def batch(self, request: Request) -> Response:
        """Several lists of one version; other requests are answered in between."""
        body = await read_body(request, BatchRequest, self._limits, self._load)
        async with self._load.admitted():
            market = self._market(request)
            answers = []
            for one in body.requests:
                await self._load.turn(one.k)
                made = await self._answering.recommend(market, one)
                self._metrics.listed(market.name, made.strategy)
                answers.append(orjson.Fragment(made.body))
        whole = {"market": market.name, "version": market.version, "backbone": market.backbone}
        return JsonResponse({**whole, "answers": answers})

    async def similar(self, request: Request) -> Response:
        """Items like an item."""
        k = self._length(read_query(request, _SIMILAR))
        async with self._load.admitted(k):
            market, item = self._market(request), request.path_params["item"]
            return self._list(market, listed(similar(market, item, k)))

    async def market(self, request: Request) -> Response:
        """What a market is."""
        read_query(request)
        now = self._registry.now
        return JsonResponse(described(now, now.market(request.path_params["market"])))

    async def markets(self, request: Request) -> Response:
        """All markets."""
        read_query(request)
        now = self._registry.now
        known = [described(now, market) for market in now.markets.values()]
        return JsonResponse({"markets": known, "unavailable": sorted(now.unavailable)})

    async def ready(self, request: Request) -> Response:
        """Which markets can answer; 503 where none can."""
        now = self._registry.now
        states = dict.fromkeys(now.markets, "ready") | dict.fromkeys(now.unavailable, "unavailable")
        status = "degraded" if now.unavailable else "ready"
        if not now.markets:
            status = "unavailable"
        return JsonResponse({"status": status, "markets": states}, 200 if now.markets else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters for Prometheus."""
        return Response(self._metrics.render(self._registry), media_type=CONTENT_TYPE_LATEST)

    async def openapi(self, request: Request) -> Response:
        """The description of all this, with examples that work as they stand."""
        return JsonResponse(describe(self._registry.now, self._limits))

    def _market(self, request: Request) -> Market:
        return self._registry.now.market(request.path_params["market"])

    def _length(self, query: dict[str, str]) -> int:
        return read_count(query, "k", _DEFAULT_LENGTH, self._limits.k)

    def _list(self, market: Market, made: Listed) -> Response:
        self._metrics.listed(market.name, made.strategy)
        return JsonResponse(orjson.Fragment(made.body))


async def live(request: Request) -> Response:
    """The process answers."""
    return JsonResponse({"status": "alive"})
