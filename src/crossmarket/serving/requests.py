"""What a request says: its query, its body and its headers, read strictly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from crossmarket.artifact.folders import parse_json
from crossmarket.errors import DataError
from crossmarket.serving.load import Load
from crossmarket.serving.problems import Problem
from crossmarket.serving.settings import Limits

JSON = "application/json"
#: Sent where what is left of the request will not be read.
CLOSE = {"Connection": "close"}
Body = TypeVar("Body", bound=BaseModel)


def read_query(request: Request, allowed: frozenset[str] = frozenset()) -> dict[str, str]:
    """Parameters of the query.

    Raises
    ------
    Problem
        If one is unknown, comes twice, or is no UTF-8.
    """
    text = request.scope["query_string"]
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
    if strange:
        raise invalid([(f"query.{strange[0][:64]}", "is no parameter of this address")])
    for name in found:
        if sum(name == one for one, _ in pairs) > 1:
            raise invalid([(f"query.{name}", "comes twice")])
    return found


def read_count(query: Mapping[str, str], name: str, default: int, limit: int) -> int:
    """A parameter of a query that is a number of things, from 1 to a limit.

    Raises
    ------
    Problem
        If it is anything else.
    """
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= limit):
        raise invalid([(f"query.{name}", f"must be a whole number from 1 to {limit}")])
    return int(text)


async def read_body(request: Request, form: type[Body], limits: Limits, load: Load) -> Body:
    """Read the body as JSON of a form.

    Raises
    ------
    Problem
        If it is too large, no JSON, or not of the form; the fields are named.
    """
    content = await _read(request, limits.body_bytes, load)
    try:
        value = parse_json(content, "the body")
    except DataError as error:
        raise Problem(
            "bad_json", "The body is no JSON with distinct keys and finite numbers."
        ) from error
    try:
        return form.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise invalid(
            [(".".join(map(str, one["loc"]))[:128] or "body", one["msg"]) for one in found[:8]]
        ) from error


def only_header(scope: Mapping[str, Any], name: bytes) -> bytes | None:
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


async def _read(request: Request, limit: int, load: Load) -> bytes:
    scope = request.scope
    media_type = (only_header(scope, b"content-type") or b"").split(b";")[0].strip().lower()
    if media_type != JSON.encode() or only_header(scope, b"content-encoding") is not None:
        said = f"Send the body as {JSON}, not compressed."
        raise Problem("unsupported_media_type", said, headers=CLOSE)
    told = only_header(scope, b"content-length") or b"0"
    if not told.isdigit() or len(told) > 18 or int(told) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            load.take(len(part))
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    finally:
        load.free(size)
    return b"".join(parts)


def _too_large(limit: int) -> Problem:
    return Problem("body_too_large", f"A body may have {limit:,} bytes.", headers=CLOSE)
