"""Requests and responses of ASGI, as small as handlers need them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ValidationError

from crossmarket.artifact.folders import parse_json
from crossmarket.errors import DataError
from crossmarket.serving.problems import MEDIA_TYPE, Problem
from crossmarket.serving.settings import Limits

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON = "application/json"
CLOSE = {"Connection": "close"}


@dataclass(slots=True)
class Response:
    """An answer: status, body, media type, further headers."""

    status: int
    body: bytes
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, value: Any, status: int = 200) -> Response:
        """Render a value as JSON."""
        return cls(status, orjson.dumps(value))

    @classmethod
    def problem(cls, problem: Problem) -> Response:
        """Render a problem."""
        body = orjson.dumps(problem.to_dict())
        return cls(problem.status, body, MEDIA_TYPE, dict(problem.headers))


@dataclass(slots=True)
class Budget:
    """Bytes of bodies that may be in memory at the same time; slow clients hold few of them."""

    left: int

    def take(self, count: int) -> None:
        """Count bytes in.

        Raises
        ------
        Problem
            If there are too many of all requests together.
        """
        self.left -= count
        if self.left < 0:
            raise overloaded()


@dataclass(slots=True)
class Request:
    """A request whose route is known.

    Attributes
    ----------
    scope, receive : ASGI
        As the server gave them.
    path : dict of str to str
        Parts of the path, percent-decoded once.
    body : BaseModel or None
        What was sent, where the route takes something.
    """

    scope: Scope
    receive: Receive
    path: dict[str, str]
    body: Any = None

    def header(self, name: bytes) -> bytes | None:
        """The only header of a name.

        Raises
        ------
        Problem
            If it comes twice.
        """
        return only_header(self.scope, name)

    def query(self, allowed: frozenset[str]) -> dict[str, str]:
        """Parameters of the query.

        Raises
        ------
        Problem
            If one is unknown, comes twice, or is no UTF-8.
        """
        text = self.scope["query_string"]
        if not text:
            return {}
        try:
            pairs = parse_qsl(
                text.decode("ascii"),
                keep_blank_values=True,
                strict_parsing=True,
                errors="strict",
                max_num_fields=16,
            )
        except ValueError as error:
            raise Problem("bad_request", "The query is not well formed.") from error
        found = dict(pairs)
        strange = sorted(found.keys() - allowed)
        if strange or len(found) != len(pairs):
            said = "is no parameter of this address" if strange else "comes twice"
            name = strange[0] if strange else next(n for n, _ in pairs if found[n] is not None)
            raise invalid([(f"query.{name[:64]}", said)])
        return found

    async def parse(self, model: type[BaseModel], limits: Limits, budget: Budget) -> None:
        """Read the body as JSON of a model.

        Raises
        ------
        Problem
            If it is too large, no JSON, or not of the model; the fields are named.
        """
        content = await self._read(limits.body_bytes, budget)
        try:
            value = parse_json(content, "the body")
        except DataError as error:
            raise Problem(
                "bad_json", "The body is no JSON with distinct keys and finite numbers."
            ) from error
        try:
            self.body = model.model_validate(value)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False, include_input=False)
            raise invalid(
                [(".".join(map(str, one["loc"]))[:128] or "body", one["msg"]) for one in found[:8]]
            ) from error

    async def _read(self, limit: int, budget: Budget) -> bytes:
        media_type = (self.header(b"content-type") or b"").split(b";")[0].strip().lower()
        if media_type != JSON.encode() or self.header(b"content-encoding") is not None:
            said = f"Send the body as {JSON}, not compressed."
            raise Problem("unsupported_media_type", said, headers=CLOSE)
        told = self.header(b"content-length") or b"0"
        if not told.isdigit() or len(told) > 18 or int(told) > limit:
            raise _too_large(limit)
        parts, size, more = [], 0, True
        try:
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError
                part = message.get("body", b"")
                size += len(part)
                budget.take(len(part))
                if size > limit:
                    raise _too_large(limit)
                parts.append(part)
                more = message.get("more_body", False)
        finally:
            budget.left += size
        return b"".join(parts)


def only_header(scope: Scope, name: bytes) -> bytes | None:
    """The only header of a name in a scope.

    Raises
    ------
    Problem
        If it comes twice.
    """
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Problem("bad_request", f"The header {name.decode()} comes twice.")
    return found[0] if found else None


def invalid(errors: list[tuple[str, str]]) -> Problem:
    """A problem with named fields."""
    return Problem("invalid", f"{errors[0][0]}: {errors[0][1]}.", errors)


def overloaded() -> Problem:
    """The problem of a request that comes at a bad moment."""
    return Problem("overloaded", "Too much to do; try again.", headers={"Retry-After": "1"})


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"A body may have {limit:,} bytes.", headers=CLOSE)
