"""The forms of requests and answers; requests are checked by them, answers documented."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from crossmarket.artifact.forms.base import Strategy
from crossmarket.serving.settings import Limits

_LIMITS = Limits()


def _whole(value: Any) -> Any:
    """To JSON, 5.0 is as whole a number as 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Id = Annotated[str, Field(max_length=_LIMITS.id_characters)]
Ids = Annotated[list[Id], Field(max_length=_LIMITS.ids)]
Length = Annotated[int, Field(ge=1, le=_LIMITS.k), BeforeValidator(_whole)]


class Form(BaseModel):
    """What is sent or answered, with no further fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class RecommendationRequest(Form):
    """Who asks and what may be listed; without user and history, what sells most."""

    user: Id | None = Field(None, description="User id of the market.")
    history: Annotated[list[Id], Field(max_length=_LIMITS.history)] = Field(
        [], description="Item ids, of any market; of a known user only excluded."
    )
    k: Length = Field(10, description="Length of the list.")
    include: Ids | None = Field(None, description="Recommend only these items.")
    exclude: Ids = Field([], description="Never recommend these items.")
    include_seen: bool = Field(False, description="Keep what the user or the history has.")
    explain: bool = Field(False, description="Say where each score comes from.")


class VersionedRequest(RecommendationRequest):
    """The same, of a version of the market that is in memory."""

    version: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="One of the market's `versions`; the served one by default.",
    )


class BatchRequest(Form):
    """Several requests, answered from one version of the market."""

    requests: Annotated[list[RecommendationRequest], Field(min_length=1, max_length=_LIMITS.batch)]


class Reason(Form):
    """An item of the history and what it adds to the score."""

    id: str
    effect: float
    title: str | None = Field(None, description="Where the market has one.")


class Why(Form):
    """Where a score comes from."""

    backbone: float | None = Field(description="What the frozen backbone alone would say.")
    prompt: float | None = Field(description="What the market's prompts changed.")
    reasons: list[Reason]
    evidence: Literal["exact", "fold-in", "none"]


class Item(Form):
    """An item of a list, best first."""

    id: str
    score: float
    strategy: Strategy
    title: str | None = Field(None, description="Where the market has one.")
    why: Why | None = None


class Answer(Form):
    """A list and what a reader must know of it."""

    market: str
    version: str = Field(description="SHA-256 of the market's manifest.")
    backbone: str = Field(description="Hash of the backbone of all markets.")
    strategy: Strategy = Field(description="How the list was made.")
    items: list[Item]
    short: bool = Field(description="Whether fewer items than asked for were left.")
    ignored: list[str] = Field(description="Ids of the request that the market does not know.")


class Batch(Form):
    """Answers in the order of the requests, all from one version of the market."""

    market: str
    version: str
    backbone: str
    answers: list[Answer]


class MarketInfo(Form):
    """A market that can answer."""

    market: str
    version: str
    backbone: str
    system: str
    strategy: Strategy = Field(description="How lists of known users are made.")
    users: int
    items: int
    interactions: int
    versions: list[str] = Field(description="What can answer: the served one, then earlier ones.")


class Markets(Form):
    """Markets that can answer, and names of those that cannot."""

    markets: list[MarketInfo]
    unavailable: list[str]


class Live(Form):
    """The process answers."""

    status: Literal["alive"]


class Readiness(Form):
    """Whether all markets can answer."""

    status: Literal["ready", "degraded", "unavailable"]
    markets: dict[str, Literal["ready", "unavailable"]]


class FieldError(Form):
    """A place of the request that is wrong."""

    field: str
    message: str


class ProblemDetails(Form):
    """Why a request got no other answer (RFC 9457)."""

    type: Literal["about:blank"]
    title: str
    status: int
    code: str = Field(description="Stable; for programs.")
    detail: str = Field(description="For people.")
    errors: list[FieldError] = []


class SwapRequest(Form):
    """Which folder of the depot to serve a market from: by its name, or by its version."""

    folder: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    version: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")


class Change(Form):
    """What a change of administration did."""

    market: str
    version: str | None = Field(description="What is served now; null for nothing.")
    previous: str | None = Field(description="What was served before.")
    changed: bool = Field(description="False where it was so already.")


class AuditEntry(BaseModel):
    """One attempt to change a market; more fields say what became of it."""

    model_config = ConfigDict(extra="allow")

    time: str
    action: Literal["swap", "rollback", "remove"]
    market: str
    result: str = Field(description="`done`, or the code of a problem.")


class AuditTrail(Form):
    """The last attempts, oldest first."""

    entries: list[AuditEntry]
