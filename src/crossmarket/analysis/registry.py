"""Every analysis by its name."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from crossmarket.analysis import (
    ablation,
    attention,
    costs,
    distillation_map,
    item_groups,
    item_map,
    item_overlap,
    launch_curve,
    leak,
    market_groups,
    market_similarity,
    market_statistics,
    sensitivity,
    source_gains,
    target_size,
    transfer_matrix,
    user_groups,
)
from crossmarket.analysis.base import Analysis
from crossmarket.errors import UsageError

#: One module each, in the order of the list that the command line prints.
_MODULES: tuple[ModuleType, ...] = (
    market_statistics,
    market_similarity,
    market_groups,
    user_groups,
    item_groups,
    target_size,
    launch_curve,
    transfer_matrix,
    source_gains,
    leak,
    ablation,
    sensitivity,
    item_overlap,
    costs,
    distillation_map,
    item_map,
    attention,
)


def _analyses_of(module: ModuleType) -> tuple[Analysis, ...]:
    """What a module exports: several `ANALYSES`, or its one `ANALYSIS`."""
    several: tuple[Analysis, ...] | None = getattr(module, "ANALYSES", None)
    return (module.ANALYSIS,) if several is None else several


#: Every analysis by its name.
ANALYSES: Mapping[str, Analysis] = {
    analysis.name: analysis for module in _MODULES for analysis in _analyses_of(module)
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
