"""Answers in the two media types that the service speaks."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from crossmarket.serving.problems import MEDIA_TYPE, Problem

#: What every answer carries that does not say otherwise.
HEADERS = (
    # Nothing that a service of personal lists says may be kept by a cache.
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class JsonResponse(Response):
    """A value as JSON."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Bytes of the value; numbers as numpy has them are none."""
        return orjson.dumps(content)


class ProblemResponse(JsonResponse):
    """A refusal."""

    media_type = MEDIA_TYPE

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.to_dict(), problem.status, problem.headers)
