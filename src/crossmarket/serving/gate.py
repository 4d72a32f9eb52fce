"""What every request passes: limits, host, key; and what every answer carries."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from urllib.parse import unquote_to_bytes

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from crossmarket.serving.keys import Key
from crossmarket.serving.load import Load
from crossmarket.serving.logs import log, log_failure
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.problems import Problem
from crossmarket.serving.registry import Registry
from crossmarket.serving.requests import CLOSE, only_header
from crossmarket.serving.responses import HEADERS, ProblemResponse
from crossmarket.serving.settings import Limits

#: Addresses that need neither key nor a known host: who asks them is often a machine by number.
OPEN = frozenset({"/livez", "/readyz"})

#: Addresses that are turned away while there is too much to do; health and metrics are not.
_LISTS = "/v1/"


class Gate:
    """An ASGI application of one listener: its routes behind everything that protects them.

    Parameters
    ----------
    routes : sequence of Route
        What it answers.
    key : Key or None
        What requests must carry, but those of `OPEN`.
    hosts : frozenset of str
        Names by which clients may call it.
    limits : Limits
        Bounds.
    load, metrics, registry : Load, Metrics, Registry
        What is shared with the other listener.
    access_log : bool
        Log every request.
    keyless : frozenset of str
        Further addresses that need no key: they hold no data.

    Attributes
    ----------
    routes : sequence of Route
        As given.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        key: Key | None,
        hosts: frozenset[str],
        limits: Limits,
        load: Load,
        metrics: Metrics,
        registry: Registry,
        *,
        access_log: bool = False,
        keyless: frozenset[str] = frozenset(),
    ) -> None:
        self.routes, self._key, self._hosts, self._limits = routes, key, hosts, limits
        self._load, self._metrics, self._registry = load, metrics, registry
        self._access_log = access_log
        self._keyless = keyless
        self._templates = {route.endpoint: route.path_format for route in routes}
        self._application = Starlette(
            routes=routes,
            exception_handlers={
                Problem: self._problem,
                HTTPException: self._no_route,
                ClientDisconnect: self._left,
                Exception: self._failure,
            },
        )
        # An address with one more slash is another address.
        self._application.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start, status = perf_counter(), 500

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                message["headers"] += [one for one in HEADERS if one[0] not in given]
            await send(message)

        application: ASGIApp = self._application
        try:
            self._check(scope)
        except Problem as problem:
            application = self._refused(problem)
        else:
            if self._load.is_full and scope["path"].startswith(_LISTS):
                self._metrics.refused("overloaded")
                self._count(scope, 503, perf_counter() - start)
                await self._load.turn_away(send)
                return
        try:
            await application(scope, receive, send_guarded)
        except Exception as error:  # `_failure` has answered it
            log_failure(error)
        self._count(scope, status, perf_counter() - start)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        endpoint = scope.get("endpoint")
        template = "" if endpoint is None else self._templates[endpoint]
        market = scope.get("path_params", {}).get("market", "")
        now = self._registry.now
        if market not in now.markets and market not in now.unavailable:
            market = ""
        self._metrics.answered(market, template, status, seconds)
        if self._access_log:
            milliseconds = round(1000 * seconds, 3)
            log("request", route=template, market=market, status=status, ms=milliseconds)

    def _check(self, scope: Scope) -> None:
        limits = self._limits
        raw_path = scope["raw_path"]
        if len(raw_path) + len(scope["query_string"]) > limits.target_bytes:
            raise Problem(
                "target_too_long",
                f"An address may have {limits.target_bytes:,} bytes.",
                headers=CLOSE,
            )
        if sum(len(name) + len(value) for name, value in scope["headers"]) > limits.head_bytes:
            raise Problem(
                "head_too_large", f"A head may have {limits.head_bytes:,} bytes.", headers=CLOSE
            )
        _check_text(raw_path)
        if scope["path"] in OPEN:
            return
        host = only_header(scope, b"host")
        if host is None or _name_of(host) not in self._hosts:
            raise Problem("misdirected", "The service is not known by the name in Host.")
        if self._key is not None and scope["path"] not in self._keyless:
            kind, _, secret = (only_header(scope, b"authorization") or b"").partition(b" ")
            if kind.lower() != b"bearer" or not self._key.opens(secret.strip()):
                raise Problem(
                    "unauthorised",
                    "Send the key as `Authorization: Bearer KEY`.",
                    headers={"WWW-Authenticate": "Bearer"},
                )

    # -- what is answered instead of an answer -------------------------------------------------

    def _refused(self, problem: Problem) -> Response:
        self._metrics.refused(problem.code)
        return ProblemResponse(problem)

    async def _problem(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return self._refused(error)

    async def _no_route(self, request: Request, error: Exception) -> Response:
        """No route has the path, or none of those that have it takes the method."""
        allowed = {
            method
            for route in self.routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
        if not allowed:
            return self._refused(Problem("not_found", "There is nothing at this address."))
        said = "This address does not take this method."
        headers = {"Allow": ", ".join(sorted(allowed))}
        return self._refused(Problem("method_not_allowed", said, headers=headers))

    async def _left(self, request: Request, error: Exception) -> Response:
        """Nobody reads it."""
        return self._refused(Problem("bad_request", "The body was not sent to its end."))

    async def _failure(self, request: Request, error: Exception) -> Response:
        """The error itself comes to `__call__` and is logged there."""
        return self._refused(Problem("internal", "This should not happen."))


def _check_text(raw_path: bytes) -> None:
    """Refuse a path that is no text: decoded with marks for what is none, it would be another."""
    try:
        if b"%" in raw_path or not raw_path.isascii():
            unquote_to_bytes(raw_path.decode("ascii")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Problem("bad_path", "The path is no percent-encoded UTF-8.") from error


def _name_of(host: bytes) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or text.endswith("]"):
        name = text
    return name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name
