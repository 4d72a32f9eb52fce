"""The OpenAPI description; its examples are requests that this very service answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic.json_schema import models_json_schema

import crossmarket
from crossmarket.serving import schema
from crossmarket.serving.problems import MEDIA_TYPE, STATUS
from crossmarket.serving.settings import Limits
from crossmarket.serving.snapshot import Snapshot

_MODELS = (
    schema.RecommendationRequest,
    schema.BatchRequest,
    schema.Answer,
    schema.Batch,
    schema.MarketInfo,
    schema.Markets,
    schema.Live,
    schema.Readiness,
    schema.ProblemDetails,
)
_REFERENCE = "#/components/schemas/{model}"
_EVERYWHERE = ("bad_request", "unauthorised", "misdirected", "target_too_long", "head_too_large")
_OF_MARKET = ("bad_path", "unknown_market", "market_unavailable", "overloaded", "invalid")
_OF_BODY = ("bad_json", "body_too_large", "unsupported_media_type")


def describe(now: Snapshot, limits: Limits) -> dict[str, Any]:
    """The document of a service with these markets.

    Examples name the first market that can answer and items of it, but no user of it.
    """
    pairs, schemas = models_json_schema(
        [(model, "validation") for model in _MODELS], ref_template=_REFERENCE
    )
    del pairs
    market = next(iter(now.markets.values()), None)
    name = "uk" if market is None else market.name
    items = ["an-item", "another"] if market is None else market.item_ids[:3]
    named = {"market": name, "user": "somebody", "item": items[0] if items else "an-item"}
    wish: dict[str, Any] = {"history": items[:2], "k": 5, "exclude": items[2:]}
    batch = {"requests": [{"user": "somebody"}, {"history": items[:1], "k": 3}]}
    prefix = "/v1/markets/{market}"
    length = _parameter("k", "query", {"type": "integer", "minimum": 1, "maximum": limits.k}, 5)
    seen = _parameter("include_seen", "query", {"type": "boolean"}, False)
    paths = {
        "/v1/markets": _get("All markets.", "Markets"),
        prefix: _get("What a market is.", "MarketInfo", ("market",), named, _OF_MARKET),
        f"{prefix}/users/{{user}}/recommendations": _get(
            "The list of a user; of an unknown one, what sells most.",
            "Answer",
            ("market", "user"),
            named,
            _OF_MARKET,
            (length, seen),
        ),
        f"{prefix}/recommendations": _post(
            "A list for a user or a history.", "RecommendationRequest", "Answer", wish, named
        ),
        f"{prefix}/batch": _post(
            "Several lists, all from one version.", "BatchRequest", "Batch", batch, named
        ),
        f"{prefix}/items/{{item}}/similar": _get(
            "Items of the market most like one of them.",
            "Answer",
            ("market", "item"),
            named,
            (*_OF_MARKET, "unknown_item", "no_similarity"),
            (length,),
        ),
        "/livez": _get("The process answers.", "Live", is_open=True),
        "/readyz": _get("Which markets can answer.", "Readiness", is_open=True),
        "/metrics": _get("Counters for Prometheus.", None),
        "/openapi.json": _get("This document.", None),
    }
    # A service that cannot serve any market says so in the form of its readiness.
    answers = paths["/readyz"]["get"]["responses"]
    answers["503"] = {**answers["200"], "description": "No market can answer."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "crossmarket",
            "version": crossmarket.__version__,
            "description": "Recommendations for many markets. Ids in paths are percent-encoded.",
        },
        "security": [{"key": []}, {}],
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _get(
    summary: str,
    answer: str | None,
    path: Sequence[str] = (),
    named: dict[str, str] | None = None,
    codes: Sequence[str] = ("overloaded", "invalid"),
    query: Sequence[dict[str, Any]] = (),
    *,
    is_open: bool = False,
) -> dict[str, Any]:
    operation = {
        "summary": summary,
        "parameters": [*_path_parameters(path, named or {}), *query],
        "responses": _responses(answer, codes),
    }
    if is_open:
        operation["security"] = []
    return {"get": operation}


def _post(
    summary: str, body: str, answer: str, example: dict[str, Any], named: dict[str, str]
) -> dict[str, Any]:
    content = {"application/json": {"schema": _reference(body), "example": example}}
    return {
        "post": {
            "summary": summary,
            "parameters": _path_parameters(("market",), named),
            "requestBody": {"required": True, "content": content},
            "responses": _responses(answer, (*_OF_MARKET, *_OF_BODY)),
        }
    }


def _path_parameters(names: Sequence[str], named: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {**_parameter(name, "path", {"type": "string", "minLength": 1}, named[name])}
        for name in names
    ]


def _parameter(name: str, place: str, kind: dict[str, Any], example: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": kind,
        "example": example,
    }


def _responses(answer: str | None, codes: Sequence[str]) -> dict[str, Any]:
    content = {} if answer is None else {"application/json": {"schema": _reference(answer)}}
    found: dict[str, Any] = {"200": {"description": "The answer."}}
    if content:
        found["200"]["content"] = content
    problem = {MEDIA_TYPE: {"schema": _reference("ProblemDetails")}}
    for code in (*_EVERYWHERE, *codes):
        status = found.setdefault(str(STATUS[code]), {"description": "", "content": problem})
        status["description"] = ", ".join(filter(None, (status["description"], f"`{code}`")))
    return found


def _reference(model: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=model)}
