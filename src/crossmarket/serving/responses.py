"""Answers in the two media types that the service speaks."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from crossmarket.serving.problems import MEDIA_TYPE, Problem


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
