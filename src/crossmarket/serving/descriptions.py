"""The OpenAPI descriptions of both listeners; their examples are requests that they answer."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from crossmarket.serving import schema, schema_overview
from crossmarket.serving.explorer import SUGGESTIONS
from crossmarket.serving.openapi import document, operation, parameter
from crossmarket.serving.settings import Limits
from crossmarket.serving.snapshot import Snapshot

_MODELS: tuple[type[BaseModel], ...] = (
    schema.VersionedRequest,
    schema.BatchRequest,
    schema.Answer,
    schema.Batch,
    schema.MarketInfo,
    schema.Markets,
    schema.Live,
    schema.Readiness,
    schema.ProblemDetails,
    schema_overview.Overview,
    schema_overview.Suggestions,
)
_ADMIN_MODELS: tuple[type[BaseModel], ...] = (
    schema.SwapRequest,
    schema.Change,
    schema.AuditTrail,
    schema.Live,
    schema.ProblemDetails,
)
_ALWAYS = ("overloaded", "invalid")
_OF_MARKET = ("bad_path", "unknown_market", "market_unavailable", "overloaded", "invalid")
_OF_CHANGE = ("bad_path", "unknown_market", "nothing_to_roll_back", "refused", "invalid")


def describe(now: Snapshot, limits: Limits) -> dict[str, Any]:
    """The document of a service with these markets.

    Examples name the first market that can answer and items of it, but no user of it.
    """
    market = next(iter(now.markets.values()), None)
    name = "uk" if market is None else market.name
    items = ["an-item", "another"] if market is None else market.item_ids[:3]
    wish: dict[str, Any] = {"history": items[:2], "k": 5, "exclude": items[2:]}
    batch = {"requests": [{"user": "somebody"}, {"history": items[:1], "k": 3}]}
    prefix = "/v1/markets/{market}"
    length = parameter("k", "query", {"type": "integer", "minimum": 1, "maximum": limits.k}, 5)
    seen = parameter("include_seen", "query", {"type": "boolean"}, False)
    start = parameter("prefix", "query", {"type": "string", "maxLength": limits.id_characters}, "")
    few = parameter("limit", "query", {"type": "integer", "minimum": 1, "maximum": SUGGESTIONS}, 5)
    one = {"market": name}
    paths = {
        "/v1/markets": {"get": operation("All markets.", "Markets", _ALWAYS)},
        prefix: {"get": operation("What a market is.", "MarketInfo", _OF_MARKET, path=one)},
        f"{prefix}/users/{{user}}/recommendations": {
            "get": operation(
                "The list of a user; of an unknown one, what sells most.",
                "Answer",
                _OF_MARKET,
                path={**one, "user": "somebody"},
                query=(length, seen),
            )
        },
        f"{prefix}/recommendations": {
            "post": operation(
                "A list for a user or a history.",
                "Answer",
                (*_OF_MARKET, "unknown_version"),
                path=one,
                body=("VersionedRequest", wish),
            )
        },
        f"{prefix}/batch": {
            "post": operation(
                "Several lists, all from one version.",
                "Batch",
                _OF_MARKET,
                path=one,
                body=("BatchRequest", batch),
            )
        },
        f"{prefix}/items/{{item}}/similar": {
            "get": operation(
                "Items of the market most like one of them.",
                "Answer",
                (*_OF_MARKET, "unknown_item", "no_similarity"),
                path={**one, "item": items[0] if items else "an-item"},
                query=(length,),
            )
        },
        f"{prefix}/items": {
            "get": operation(
                "Items of the market that start with what somebody typed.",
                "Suggestions",
                _OF_MARKET,
                path=one,
                query=(start, few),
            )
        },
        "/v1/overview": {"get": operation("All markets side by side.", "Overview", _ALWAYS)},
        "/": {"get": operation("The explorer, a page for people.", None, (), is_open=True)},
        "/explorer/{file}": {
            "get": operation(
                "A script or the style of the explorer.",
                None,
                ("bad_path", "not_found"),
                path={"file": "app.js"},
                is_open=True,
            )
        },
        "/livez": {"get": operation("The process answers.", "Live", (), is_open=True)},
        "/readyz": {"get": operation("Which markets can answer.", "Readiness", (), is_open=True)},
        "/metrics": {"get": operation("Counters for Prometheus.", None, ())},
        "/openapi.json": {"get": operation("This document.", None, ())},
    }
    # A service that cannot serve any market says so in the form of its readiness.
    answers = paths["/readyz"]["get"]["responses"]
    answers["503"] = {**answers["200"], "description": "No market can answer."}
    return document(
        "crossmarket",
        "Recommendations for many markets. Ids in paths are percent-encoded.",
        paths,
        _MODELS,
        [{"key": []}, {}],
    )


def describe_administration(now: Snapshot) -> dict[str, Any]:
    """The document of administration.

    Its examples stand for an order of events: the market that is served first is removed, brought
    back, and served from a folder of the depot that has its name.
    """
    name = next(iter(now.markets), "uk")
    prefix = "/admin/markets/{market}"
    one = {"market": name}
    paths = {
        prefix: {
            "delete": operation("Serve a market no more.", "Change", _OF_CHANGE, path=one),
            "put": operation(
                "Serve a market from a folder of the depot, by the folder's name or its version.",
                "Change",
                (*_OF_CHANGE, "unknown_folder"),
                path=one,
                body=("SwapRequest", {"folder": name}),
            ),
        },
        f"{prefix}/rollback": {
            "post": operation("Serve the version before, at once.", "Change", _OF_CHANGE, path=one)
        },
        "/admin/audit": {"get": operation("What was done, oldest first.", "AuditTrail", ())},
        "/livez": {"get": operation("The process answers.", "Live", (), is_open=True)},
        "/openapi.json": {"get": operation("This document.", None, ())},
    }
    return document(
        "crossmarket administration",
        "Changes of the markets that are served, on a listener of its own.",
        paths,
        _ADMIN_MODELS,
        [{"key": []}],
    )
