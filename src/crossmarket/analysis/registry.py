"""Every analysis by its name."""

from __future__ import annotations

from collections.abc import Mapping

from crossmarket.analysis import item_groups
from crossmarket.analysis.base import Analysis
from crossmarket.errors import UsageError

#: Every analysis, in the order of the list that the command line prints.
ANALYSES: Mapping[str, Analysis] = {
    module.ANALYSIS.name: module.ANALYSIS for module in (item_groups,)
}


def find_analysis(name: str) -> Analysis:
    """The analysis of a name.

    Raises
    ------
    UsageError
        If there is none; the message lists the names.
    """
    if name not in ANALYSES:
        raise UsageError(f"there is no analysis {name!r}; choose from: {', '.join(ANALYSES)}")
    return ANALYSES[name]
