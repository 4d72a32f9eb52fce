"""Answers recorded when a market was written and given again when it is loaded.

Hashes say that the bytes are those that were written; golden answers say that this machine, with
its libraries, makes the same lists of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from crossmarket.artifact.answers import Answer
from crossmarket.artifact.folders import parse_json
from crossmarket.artifact.market import Market
from crossmarket.errors import DataError

_USERS, _HISTORIES, _LENGTH = 8, 4, 10
_RELATIVE, _ABSOLUTE = 1e-4, 1e-6


def record(market: Market) -> list[dict[str, Any]]:
    """Requests spread over the users and what the market answers to them, JSON-able."""
    names = market.users.ids
    spread = np.linspace(0, len(names) - 1, _USERS if len(names) else 0)
    users = np.unique(spread.astype(int))
    requests: list[dict[str, Any]] = [{"user": names[int(row)]} for row in users]
    requests += [
        {"history": market.vocabulary.take(market.catalogue[market.seen_by(int(row))])}
        for row in users[:_HISTORIES]
    ]
    requests += [{"history": []}]
    return [{**request, "answer": _answer(market, request)} for request in requests]


def replay(market: Market, content: bytes, place: str) -> None:
    """Ask a market what was asked when it was written.

    Every recorded item must have its recorded score, and the list the recorded scores; which of
    two items with the same score comes first may differ with the machine's rounding.

    Raises
    ------
    DataError
        If an answer is another one.
    """
    recorded = parse_json(content, place)
    if not isinstance(recorded, list) or not recorded:
        raise DataError(f"{place} holds no answers")
    for number, entry in enumerate(recorded):
        if not _holds(market, entry):
            raise DataError(
                f"{place}: answer {number + 1} comes out differently here; "
                "check the machine and its numeric libraries, or package the run on it"
            )


def _holds(market: Market, entry: Any) -> bool:
    try:
        wanted = entry["answer"]
        request = {name: value for name, value in entry.items() if name != "answer"}
        answer = _ask(market, request)
        scores = [row.score for row in answer.items]
        named = dict(wanted["items"])
        seen = market.recommend(
            request.get("user"),
            history=request.get("history", ()),
            include=list(named),
            k=max(len(named), 1),
        )
        own = {row.item_id: row.score for row in seen.items}
        return (
            answer.strategy == wanted["strategy"]
            and own.keys() == named.keys()
            and _close(scores, list(named.values()))
            and _close([own[item] for item in named], list(named.values()))
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _close(values: list[float], wanted: list[float]) -> bool:
    return len(values) == len(wanted) and np.allclose(
        values, wanted, rtol=_RELATIVE, atol=_ABSOLUTE
    )


def _ask(market: Market, request: Mapping[str, Any]) -> Answer:
    return market.recommend(request.get("user"), history=request.get("history", ()), k=_LENGTH)


def _answer(market: Market, request: Mapping[str, Any]) -> dict[str, Any]:
    answer = _ask(market, request)
    items = [[row.item_id, row.score] for row in answer.items]
    return {"strategy": answer.strategy, "items": items}
