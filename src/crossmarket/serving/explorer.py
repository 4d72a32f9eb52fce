"""The explorer: a page that people look at markets with, and the questions that only it asks."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from concurrent.futures import Executor
from importlib import resources
from itertools import islice, takewhile

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crossmarket.artifact.market import Market
from crossmarket.serving.load import Load
from crossmarket.serving.overview import Overviews
from crossmarket.serving.problems import Problem
from crossmarket.serving.registry import Registry
from crossmarket.serving.requests import invalid, read_count, read_query
from crossmarket.serving.responses import JsonResponse
from crossmarket.serving.settings import Limits

_PAGE = resources.files("crossmarket.serving") / "explorer_page"
_INDEX = "index.html"
_MEDIA_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
#: Scripts and styles are files of this service and it is asked for data; all else is forbidden.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FIRST_SUGGESTIONS = 10
#: The most that are given at once.
SUGGESTIONS = 50

FILES = {
    entry.name: entry.read_bytes()
    for entry in _PAGE.iterdir()
    if entry.name.rpartition(".")[2] in _MEDIA_TYPES
}
#: Addresses of the page itself; it holds no data, so it needs no key.
KEYLESS = frozenset({"/", *(f"/explorer/{name}" for name in FILES)})


class Explorer:
    """Handlers of the page and of what it asks for besides lists.

    Parameters
    ----------
    registry : Registry
        The markets.
    threads : Executor
        Where an overview is computed, once for each snapshot.
    load : Load
        What else is being worked on.
    limits : Limits
        Bounds of ids.
    """

    def __init__(self, registry: Registry, threads: Executor, load: Load, limits: Limits) -> None:
        self._registry, self._threads, self._load = registry, threads, load
        self._limits, self._overviews = limits, Overviews()

    def routes(self) -> list[Route]:
        """All addresses."""
        return [
            Route("/", self.index),
            Route("/explorer/{file}", self.file),
            Route("/v1/overview", self.overview),
            Route("/v1/markets/{market}/items", self.items),
        ]

    async def index(self, request: Request) -> Response:
        """The page."""
        return _static(_INDEX)

    async def file(self, request: Request) -> Response:
        """A script or the style of the page."""
        return _static(request.path_params["file"])

    async def overview(self, request: Request) -> Response:
        """All markets side by side."""
        read_query(request)
        async with self._load.admitted():
            now, loop = self._registry.now, asyncio.get_running_loop()
            return JsonResponse(await loop.run_in_executor(self._threads, self._overviews.of, now))

    async def items(self, request: Request) -> Response:
        """Items of a market that start with what somebody typed."""
        query = read_query(request, frozenset({"prefix", "limit"}))
        prefix = query.get("prefix", "")
        if len(prefix) > self._limits.id_characters:
            longest = f"must have at most {self._limits.id_characters} characters"
            raise invalid([("query.prefix", longest)])
        limit = read_count(query, "limit", _FIRST_SUGGESTIONS, SUGGESTIONS)
        async with self._load.admitted():
            market = self._registry.now.market(request.path_params["market"])
            return JsonResponse({"items": starting_with(market, prefix, limit)})


def starting_with(market: Market, prefix: str, limit: int) -> list[dict[str, str]]:
    """The first items, in the order of their ids, that a market sells under ids with a prefix.

    Returns
    -------
    `id` and, where the market has one, `title` of each.
    """
    # Sorted by bytes of UTF-8, which is the order of code points.
    first = bisect_left(market.item_ids, prefix)
    after = islice(market.item_ids, first, first + limit)
    found: list[dict[str, str]] = []
    for place, own in enumerate(takewhile(lambda own: own.startswith(prefix), after), first):
        title = market.titles.get(place)
        found.append({"id": own} if title is None else {"id": own, "title": title})
    return found


def _static(name: str) -> Response:
    if name not in FILES:
        raise Problem("not_found", "There is nothing at this address.")
    media_type = _MEDIA_TYPES[name.rpartition(".")[2]]
    headers = {"Content-Security-Policy": _POLICY}
    return Response(FILES[name], media_type=media_type, headers=headers)
