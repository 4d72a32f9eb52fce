"""The addresses of administration, on a listener of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crossmarket.artifact.manifest import MARKET_NAME
from crossmarket.serving.audit import Audit
from crossmarket.serving.descriptions import describe_administration
from crossmarket.serving.load import Load
from crossmarket.serving.logs import log
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.problems import Problem
from crossmarket.serving.public import live
from crossmarket.serving.registry import Registry
from crossmarket.serving.requests import invalid, read_body
from crossmarket.serving.responses import JsonResponse
from crossmarket.serving.schema import SwapRequest
from crossmarket.serving.settings import Limits


class Admin:
    """Handlers that change which version of a market is served.

    Parameters
    ----------
    registry : Registry
        The markets.
    audit : Audit
        Where every attempt is written down.
    metrics : Metrics
        What is counted.
    load : Load
        Where bodies are counted.
    limits : Limits
        Bounds of bodies.
    thread : Executor
        One thread, so that changes come one after the other and the event loop goes on.
    """

    def __init__(
        self,
        registry: Registry,
        audit: Audit,
        metrics: Metrics,
        load: Load,
        limits: Limits,
        thread: Executor,
    ) -> None:
        self._registry, self._audit, self._metrics = registry, audit, metrics
        self._load, self._limits, self._thread = load, limits, thread

    def routes(self) -> list[Route]:
        """All addresses."""
        market = "/admin/markets/{market}"
        return [
            Route(market, self.swap, methods=["PUT"]),
            Route(f"{market}/rollback", self.rollback, methods=["POST"]),
            Route(market, self.remove, methods=["DELETE"]),
            Route("/admin/audit", self.entries),
            Route("/livez", live),
            Route("/openapi.json", self.openapi),
        ]

    async def swap(self, request: Request) -> Response:
        """Serve a market from a folder of the depot."""
        asked = await read_body(request, SwapRequest, self._limits, self._load)
        if asked.folder is None and asked.version is None:
            raise invalid([("folder", "name a folder of the depot, or give a version")])
        return await self._change(
            "swap", request, lambda name: self._registry.swap(name, asked.folder, asked.version)
        )

    async def rollback(self, request: Request) -> Response:
        """Serve the version before the current one."""
        return await self._change("rollback", request, self._registry.rollback)

    async def remove(self, request: Request) -> Response:
        """Serve a market no more."""
        return await self._change("remove", request, self._registry.remove)

    async def entries(self, request: Request) -> Response:
        """What was done, oldest first."""
        return JsonResponse({"entries": self._audit.entries()})

    async def openapi(self, request: Request) -> Response:
        """The description of all this."""
        return JsonResponse(describe_administration(self._registry.now))

    async def _change(
        self, action: str, request: Request, change: Callable[[str], dict[str, Any]]
    ) -> Response:
        name = request.path_params["market"]
        if MARKET_NAME.fullmatch(name) is None:
            raise invalid([("path.market", "must be 1 to 32 of a-z 0-9 _ -, no sign first")])
        loop = asyncio.get_running_loop()
        # Shielded: a client that leaves does not leave the audit without its entry.
        done = loop.run_in_executor(self._thread, self._audited, action, name, change)
        return JsonResponse(await asyncio.shield(done))

    def _audited(
        self, action: str, name: str, change: Callable[[str], dict[str, Any]]
    ) -> dict[str, Any]:
        try:
            found = change(name)
        except Problem as problem:
            self._audit.add(action, name, problem.code, detail=problem.detail)
            self._metrics.changed(action, problem.code)
            log(action, market=name, result=problem.code)
            raise
        self._audit.add(action, name, "done", **found)
        self._metrics.changed(action, "done")
        log(action, market=name, result="done", **found)
        return {"market": name, **found}
