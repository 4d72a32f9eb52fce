"""Which column of a table plays which role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from crossmarket.errors import DataError

#: Column names taken for a role when nobody says otherwise, best first; letter case, blanks,
#: `_` and `-` do not matter.
DEFAULT_NAMES: dict[str, tuple[str, ...]] = {
    "market": ("market", "country", "marketplace"),
    "user": ("userid", "user", "customerid", "customer", "reviewerid"),
    "item": ("itemid", "item", "productid", "product", "asin"),
    "weight": ("weight", "rating", "rate", "score"),
    "timestamp": ("timestamp", "date", "time", "datetime", "reviewtime"),
}

REQUIRED = ("market", "user", "item")


class ColumnMap(BaseModel):
    """Names of the columns to read; a role left out is found by its usual names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    market: str | None = Field(
        default=None, min_length=1, description="column of the market's name"
    )
    user: str | None = Field(default=None, min_length=1, description="column of the user id")
    item: str | None = Field(default=None, min_length=1, description="column of the item id")
    weight: str | None = Field(
        default=None, min_length=1, description="column of the rating or count"
    )
    timestamp: str | None = Field(default=None, min_length=1, description="column of the time")


def resolve_columns(
    header: Sequence[str], columns: ColumnMap, *, market_known: bool, where: str
) -> dict[str, str]:
    """Find the column of each role in a table's header.

    Parameters
    ----------
    header : sequence of str
        Column names of the table.
    columns : ColumnMap
        What the user asked for; a column named here must exist.
    market_known : bool
        Whether the file itself says its market, so that only a mapped market column counts.
    where : str
        The file, for messages.

    Returns
    -------
    Role to column name; `weight`, `timestamp` and, where it is known, `market` may be absent.

    Raises
    ------
    DataError
        If a name occurs twice in the header or a wanted column is not there.
    """
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise DataError(
            f"{where} has more than one column named {twice[0]!r}; rename one in its header"
        )
    asked = columns.model_dump(exclude_none=True)
    found = ", ".join(repr(name) for name in header)
    for role, name in asked.items():
        if name not in header:
            raise DataError(f"{where} has no column {name!r} for {role}; its columns are: {found}")
    free = {_normalise(name): name for name in reversed(header) if name not in asked.values()}
    roles = dict(asked)
    for role, names in DEFAULT_NAMES.items():
        if role in roles or (role == "market" and market_known):
            continue
        match = next((free[name] for name in names if name in free), None)
        if match is not None:
            roles[role] = match
        elif role in REQUIRED:
            raise DataError(
                f"{where} has no column for {role}; its columns are: {found}; say which one it is "
                f"with columns {role}=NAME" + (_MARKET_HINT if role == "market" else "")
            )
    return roles


_MARKET_HINT = ", or put each market into a file of its own in one folder"


def _normalise(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in " _-")
