"""The one entry point: a path in, a data set and the account of every row out."""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl

from crossmarket.data.accounting import FileReport, ReadReport, ReadResult, Reason, RowCounts
from crossmarket.data.readers.assemble import assemble
from crossmarket.data.readers.columns import ColumnMap
from crossmarket.data.readers.formats import Format, Source
from crossmarket.data.readers.registry import FORMATS
from crossmarket.data.readers.rows import FileRows, RowRules, read_file
from crossmarket.data.readers.values import TimeUnit
from crossmarket.errors import DataError, UsageError


def read_data(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    columns: ColumnMap | None = None,
    min_weight: float | None = None,
    time_unit: TimeUnit = "auto",
    max_rejected: float = 0.01,
) -> ReadResult:
    """Read the interactions of all markets below a path.

    A row that cannot be used is rejected with its reason and the others are kept. Rows with equal
    (market, user, item) are merged: earliest known timestamp, largest weight. Ids are exact text.

    Parameters
    ----------
    path : path
        A file or folder.
    format : str, optional
        One of `FORMATS`; found from the path when left out.
    columns : ColumnMap, optional
        Which column plays which role; the usual names are known.
    min_weight : float, optional
        Leave out rows under this weight; they do not count as broken.
    time_unit : {'auto', 's', 'ms'}
        Unit of numeric times; 'auto' takes a number of at least 1e11 for milliseconds. ISO 8601
        dates and times are read as well, in UTC where they name no zone.
    max_rejected : float
        Share of broken rows, from 0 to 1, above which the read fails.

    Returns
    -------
    ReadResult
        The data set, the parts that the source gives, and the account of every row.

    Raises
    ------
    UsageError
        If the path does not exist, holds nothing readable, or an option is out of range.
    DataError
        If a file is no table, too many rows are broken, or a market is left without a row.
    """
    root = Path(path)
    _check_options(min_weight, time_unit, max_rejected)
    layout = _choose_format(root, format)
    if columns is not None and layout.columns is not None:
        raise UsageError(f"format {layout.name!r} has columns of its own; leave columns out")
    wanted = layout.columns or columns or ColumnMap()
    sources = layout.sources(root)
    if not sources:
        raise UsageError(f"{root} holds nothing of format {layout.name!r}: {layout.layout}")
    sources = _prepare(sources, wanted)
    rules = RowRules(wanted, min_weight, time_unit)
    files = [read_file(source, position, rules) for position, source in enumerate(sources)]
    _limit_broken(root, files, max_rejected)
    _require_rows(sources, files)
    result = _combine(sources, files)
    if layout.verify is not None:
        layout.verify(root, result)
    return result


def _check_options(min_weight: float | None, time_unit: str, max_rejected: float) -> None:
    if min_weight is not None and not (math.isfinite(min_weight) and min_weight >= 0):
        raise UsageError(f"min_weight must be a number of at least 0, not {min_weight}")
    if time_unit not in get_args(TimeUnit):
        known = ", ".join(get_args(TimeUnit))
        raise UsageError(f"there is no time unit {time_unit!r}; choose from: {known}")
    if not 0 <= max_rejected <= 1:
        raise UsageError(f"max_rejected is a share from 0 to 1, not {max_rejected}")


def _choose_format(root: Path, name: str | None) -> Format:
    if name is not None and name not in FORMATS:
        raise UsageError(f"there is no format {name!r}; choose from: {', '.join(FORMATS)}")
    if not root.exists():
        raise UsageError(f"{root} does not exist; name a file or folder of interactions")
    if not (root.is_dir() or stat.S_ISREG(root.stat().st_mode)):
        raise UsageError(f"{root} is neither a regular file nor a folder; name one of these")
    if name is not None:
        return FORMATS[name]
    for layout in FORMATS.values():
        if layout.matches(root):
            return layout
    known = "; ".join(f"{layout.name}: {layout.layout}" for layout in FORMATS.values())
    raise UsageError(f"{root} holds nothing that can be read; what can be is: {known}")


def _prepare(sources: Sequence[Source], columns: ColumnMap) -> Sequence[Source]:
    """Refuse names that cannot be markets, and let a mapped market column win over file names."""
    for source in sources:
        try:
            (source.name + (source.market or "")).encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the file name {source.name!r} is not UTF-8; rename it") from error
    if columns.market is not None:
        return [replace(source, market=None) for source in sources]
    places = Counter((source.market, source.part) for source in sources if source.market)
    for (market, _), count in places.items():
        if count > 1:
            names = ", ".join(source.name for source in sources if source.market == market)
            raise UsageError(f"more than one file is named after market {market!r}: {names}")
    return sources


def _limit_broken(root: Path, files: Sequence[FileRows], max_rejected: float) -> None:
    rejected = pl.concat([file.rejected for file in files])
    broken = rejected.filter(pl.col("reason") != Reason.BELOW_MIN_WEIGHT.value)
    num_rows = sum(file.num_rows for file in files)
    if len(broken) <= max_rejected * num_rows:
        return
    reasons = (
        broken["reason"].value_counts(sort=True).sort(["count", "reason"], descending=[True, False])
    )
    reason = reasons["reason"][0]
    first = broken.filter(pl.col("reason") == reason).row(0, named=True)
    enough = min(1.0, math.ceil(len(broken) / num_rows * 100) / 100)
    raise DataError(
        f"{len(broken):,} of {num_rows:,} rows of {root} are broken, more than the share of "
        f"{max_rejected:g} that is allowed; the commonest reason is {reason}, first in "
        f"{first['file']} line {first['line']}; mend the rows, or leave them out with "
        f"max_rejected={enough:g} (--max-rejected {enough:g})"
    )


def _require_rows(sources: Sequence[Source], files: Sequence[FileRows]) -> None:
    for source, file in zip(sources, files, strict=True):
        if file.usable.is_empty():
            raise DataError(
                f"no row of {source.path} can be used; the first one, in line "
                f"{file.rejected['line'][0]}, was rejected for {file.rejected['reason'][0]}"
            )
    left: set[str] = set().union(*(file.usable["market"].unique() for file in files))
    lost = sorted(set().union(*(file.low_markets for file in files)) - left)
    if lost:
        raise DataError(f"min_weight leaves no row of market {lost[0]!r}; choose a lower one")


def _combine(sources: Sequence[Source], files: Sequence[FileRows]) -> ReadResult:
    assembled = assemble(pl.concat([file.usable for file in files]), len(files))
    reports = []
    for source, file, kept in zip(sources, files, np.asarray(assembled.kept), strict=True):
        reasons = dict(sorted(Counter(file.rejected["reason"]).items()))
        counts = RowCounts(file.num_rows, int(kept), len(file.usable) - int(kept), reasons)
        reports.append(FileReport(source.name, file.sha256, counts))
    rejected = pl.concat([file.rejected for file in files])
    return ReadResult(assembled.dataset, assembled.parts, ReadReport(tuple(reports), rejected))
