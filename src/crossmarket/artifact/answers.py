"""What a request to an artifact gets back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, NamedTuple

from crossmarket.artifact.forms.base import Strategy


@dataclass(frozen=True, slots=True)
class Reason:
    """An item of the history and what it adds to a score.

    Attributes
    ----------
    item_id : str
        The item the user took.
    effect : float
        The score from the whole history less that from all of it but this item.
    title : str or None
        What the market calls it, where it sells it and has titles.
    """

    item_id: str
    effect: float
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a score comes from.

    Attributes
    ----------
    backbone, prompt : float or None
        The score's two parts, which add up to it: what the frozen backbone alone would say in the
        score's scale, and what the market's prompts changed. None for a system without prompts.
    reasons : tuple of Reason
        Items of the history with the largest effects.
    evidence : {"exact", "fold-in", "none"}
        Whether the effects are on this very score, or on that of a new user with this history
        (where a known user's vector holds more than its history), or nothing depends on it.
    """

    backbone: float | None
    prompt: float | None
    reasons: tuple[Reason, ...]
    evidence: Literal["exact", "fold-in", "none"]


class Recommended(NamedTuple):
    """An item of a list; rank 1 is best, the title is the market's own where it has titles."""

    item_id: str
    score: float
    rank: int
    strategy: Strategy
    why: Explanation | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A list and what a reader must know of it.

    Attributes
    ----------
    market : str
        Where the items are sold.
    version, backbone : str
        Hashes of the market's manifest and of the backbone it belongs to.
    strategy : str
        How the list was made: `prompted` or `personal` for a known user, `backbone` for one whose
        market has no prompts, `fold-in` from a bare history, `popular` for anybody.
    short : bool
        Whether fewer items than asked for were left.
    ignored : tuple of str
        Ids of the request that the artifact does not know, in its order.
    items : tuple of Recommended
        The list, best first.
    """

    market: str
    version: str
    backbone: str
    strategy: Strategy
    short: bool
    ignored: tuple[str, ...]
    items: tuple[Recommended, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able form; explanations only where they were asked for, titles where known."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        rows = [_known(row._asdict()) for row in self.items]
        return {**values, "ignored": list(self.ignored), "items": rows}


def _known(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what it does not have."""
    if row["why"] is not None:
        why = asdict(row["why"])
        reasons = [
            {name: value for name, value in one.items() if value is not None}
            for one in why["reasons"]
        ]
        row["why"] = {**why, "reasons": reasons}
    return {name: value for name, value in row.items() if value is not None}
