"""Refusals as RFC 9457 problems: a stable code, a sentence, never what happened inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

#: Every code that an answer may carry, with its status.
STATUS: Mapping[str, int] = {
    "bad_request": 400,
    "bad_path": 400,
    "bad_json": 400,
    "unauthorised": 401,
    "not_found": 404,
    "unknown_market": 404,
    "unknown_version": 404,
    "unknown_item": 404,
    "unknown_folder": 404,
    "no_similarity": 404,
    "method_not_allowed": 405,
    "refused": 409,
    "nothing_to_roll_back": 409,
    "body_too_large": 413,
    "target_too_long": 414,
    "unsupported_media_type": 415,
    "misdirected": 421,
    "invalid": 422,
    "head_too_large": 431,
    "internal": 500,
    "market_unavailable": 503,
    "overloaded": 503,
}
MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 - the name of the RFC
    """A request that gets no other answer.

    Parameters
    ----------
    code : str
        One of `STATUS`.
    detail : str
        One sentence for whoever wrote the client; nothing that the request held.
    errors : sequence of (field, message)
        Places of the request that are wrong.
    headers : mapping of str to str
        To send along.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.code, self.detail, self.errors = code, detail, tuple(errors)
        self.status = STATUS[code]
        self.headers = dict(headers or {})

    def to_dict(self) -> dict[str, Any]:
        """The members of the problem."""
        values: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.errors:
            values["errors"] = [{"field": name, "message": text} for name, text in self.errors]
        return values
