"""What every request passes: limits, host, key, admission; and what every answer carries."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import perf_counter

from crossmarket.serving.keys import Key
from crossmarket.serving.logs import log, log_failure
from crossmarket.serving.messages import (
    CLOSE,
    Budget,
    Receive,
    Request,
    Response,
    Scope,
    Send,
    only_header,
    overloaded,
)
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.problems import Problem
from crossmarket.serving.registry import Registry
from crossmarket.serving.routing import Route, Router
from crossmarket.serving.settings import Limits

#: Addresses that need neither key nor a known host: who asks them is often a machine by number.
OPEN = frozenset({b"/livez", b"/readyz"})

_HEADERS = [
    # Nothing that a service of personal lists says may be kept by a cache.
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


@dataclass
class Load:
    """What both listeners share: requests being worked on and bytes of bodies being read."""

    in_flight: int
    budget: Budget


class Gate:
    """An ASGI application of one listener.

    Parameters
    ----------
    router : Router
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
    """

    def __init__(
        self,
        router: Router,
        key: Key | None,
        hosts: frozenset[str],
        limits: Limits,
        load: Load,
        metrics: Metrics,
        registry: Registry,
        *,
        access_log: bool = False,
    ) -> None:
        self.router, self._key, self._hosts, self._limits = router, key, hosts, limits
        self._load, self._metrics, self._registry = load, metrics, registry
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        start = perf_counter()
        template, market = "", ""
        try:
            self._check(scope)
            route, path = self.router.find(scope["method"], scope["raw_path"])
            template, market = route.template, path.get("market", "")
            response = await self._answer(route, Request(scope, receive, path))
        except Problem as problem:
            self._metrics.refused(problem.code)
            response = Response.problem(problem)
        except ConnectionResetError:  # the client left
            return
        except Exception as error:
            log_failure(error)
            self._metrics.refused("internal")
            response = Response.problem(Problem("internal", "This should not happen."))
        seconds = perf_counter() - start
        now = self._registry.now
        if market not in now.markets and market not in now.unavailable:
            market = ""
        self._metrics.answered(market, template, response.status, seconds)
        if self._access_log:
            milliseconds = round(1000 * seconds, 3)
            log("request", route=template, market=market, status=response.status, ms=milliseconds)
        await _send(send, response)

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
        if raw_path in OPEN:
            return
        host = only_header(scope, b"host")
        if host is None or _name_of(host) not in self._hosts:
            raise Problem("misdirected", "The service is not known by the name in Host.")
        if self._key is not None:
            kind, _, secret = (only_header(scope, b"authorization") or b"").partition(b" ")
            if kind.lower() != b"bearer" or not self._key.opens(secret.strip()):
                raise Problem(
                    "unauthorised",
                    "Send the key as `Authorization: Bearer KEY`.",
                    headers={"WWW-Authenticate": "Bearer"},
                )

    async def _answer(self, route: Route, request: Request) -> Response:
        if route.body is not None:
            await request.parse(route.body, self._limits, self._load.budget)
        if route.is_light:
            return await _handled(route, request)
        if self._load.in_flight >= self._limits.in_flight:
            raise overloaded()
        self._load.in_flight += 1
        self._metrics.in_flight.inc()
        try:
            # All that came in at the same moment is counted before any of it is worked on.
            await asyncio.sleep(0)
            return await _handled(route, request)
        finally:
            self._load.in_flight -= 1
            self._metrics.in_flight.dec()


async def _handled(route: Route, request: Request) -> Response:
    answer = route.handler(request)
    return answer if isinstance(answer, Response) else await answer


def _name_of(host: bytes) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    text = host.decode("latin-1").lower()
    name, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or text.endswith("]"):
        name = text
    return name[1:-1] if name[:1] == "[" and name[-1:] == "]" else name


async def _send(send: Send, response: Response) -> None:
    headers = [
        *_HEADERS,
        (b"content-type", response.media_type.encode()),
        (b"content-length", str(len(response.body)).encode()),
    ]
    headers += [(name.lower().encode(), text.encode()) for name, text in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
