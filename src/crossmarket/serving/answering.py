"""Answers of one pinned version of a market, in the form in which they are sent."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from crossmarket.artifact.answers import Answer, Explanation
from crossmarket.artifact.forms.base import places_in
from crossmarket.artifact.market import Market
from crossmarket.errors import UsageError
from crossmarket.serving.problems import Problem
from crossmarket.serving.schema import RecommendationRequest


def rendered(answer: Answer) -> dict[str, Any]:
    """An answer as it is sent; explanations only where they were asked for."""
    items: list[dict[str, Any]] = []
    for row in answer.items:
        item = {"id": row.item_id, "score": row.score, "strategy": row.strategy}
        if row.title is not None:
            item["title"] = row.title
        if row.why is not None:
            item["why"] = _explained(row.why)
        items.append(item)
    return {
        "market": answer.market,
        "version": answer.version,
        "backbone": answer.backbone,
        "strategy": answer.strategy,
        "items": items,
        "short": answer.short,
        "ignored": answer.ignored,
    }


def _explained(why: Explanation) -> dict[str, Any]:
    reasons = []
    for one in why.reasons:
        reason = {"id": one.item_id, "effect": one.effect}
        reasons.append(reason if one.title is None else {**reason, "title": one.title})
    return {
        "backbone": why.backbone,
        "prompt": why.prompt,
        "reasons": reasons,
        "evidence": why.evidence,
    }


class Listed(NamedTuple):
    """A list as it is sent, and how it was made."""

    strategy: str
    body: bytes


@dataclass(frozen=True)
class Answering:
    """Makes lists: cheap ones at once, expensive ones on threads of their own.

    Attributes
    ----------
    threads : Executor
        Where explanations and long histories are worked on.
    inline_history : int
        Longer histories go there.
    """

    threads: Executor
    inline_history: int

    async def recommend(self, market: Market, request: RecommendationRequest) -> Listed:
        """The list that a request asks for."""
        if not request.explain and len(request.history) <= self.inline_history:
            return _recommend(market, request)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, _recommend, market, request)


def _recommend(market: Market, request: RecommendationRequest) -> Listed:
    answer = market.recommend(
        request.user,
        history=request.history,
        k=request.k,
        include=request.include,
        exclude=request.exclude,
        exclude_seen=not request.include_seen,
        explain=request.explain,
    )
    return listed(answer)


def listed(answer: Answer) -> Listed:
    """An answer in the form in which it is sent."""
    return Listed(answer.strategy, orjson.dumps(rendered(answer)))


def similar(market: Market, item: str, k: int) -> Answer:
    """The items most like one.

    Raises
    ------
    Problem
        If the market does not sell it, or its system does not say.
    """
    if places_in(market.catalogue, market.vocabulary.rows([item]))[0] < 0:
        raise Problem("unknown_item", "The market does not sell this item.")
    try:
        return market.similar(item, k)
    except UsageError as error:
        raise Problem(
            "no_similarity", "The system of this market does not say which items are alike."
        ) from error


def facts(market: Market) -> dict[str, Any]:
    """What a market is, without anything of its users but their number."""
    return {
        "market": market.name,
        "version": market.version,
        "backbone": market.backbone,
        "system": market.system,
        "strategy": market.form.strategy,
        "users": len(market.users),
        "items": len(market.catalogue),
        "interactions": len(market.seen),
    }
