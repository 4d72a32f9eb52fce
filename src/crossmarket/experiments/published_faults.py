"""What a published table of the catalogue may not be: parts that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossmarket.experiments.published import PublishedTable
    from crossmarket.experiments.published_rows import Claim, PublishedRow


def faults(table: PublishedTable) -> Iterator[str]:
    """Each contradiction of a table, with its place.

    Raises
    ------
    UsageError
        If it names a protocol or a system that there is none of.
    """
    if table.markets and len(table.markets) != len(table.columns):
        yield f"markets: {len(table.markets)} for {len(table.columns)} columns"
    if (table.protocol is None) != (table.kind == "statistics"):
        yield "protocol: statistics have none, every other table has one"
    if table.protocol is not None:
        table.protocol.require_known()
    if (table.reference is None) == (table.kind == "gains"):
        yield "reference: gains have one, no other table has"
    labels = table.labels
    for label, row in zip(labels, table.rows, strict=True):
        if labels.count(label) > 1:
            yield f"row {label!r} is there twice"
        for fault in _row_faults(table, row):
            yield f"row {label!r}: {fault}"
    titles = [system.title for system in table.systems()]
    for title in titles:
        if titles.count(title) > 1:
            yield f"rows: {title!r} is the title of two different systems"
    for claim in table.claims:
        for fault in _claim_faults(table, claim):
            yield f"claim {claim.text!r}: {fault}"


def _row_faults(table: PublishedTable, row: PublishedRow) -> Iterator[str]:
    for metric, cells in [*row.values.items(), *row.marks.items()]:
        if len(cells) != len(table.columns):
            yield f"{metric}: {len(cells)} cells for {len(table.columns)} columns"
    for metric in row.marks:
        if metric not in row.values:
            yield f"marks of {metric}, which has no values"
    if row.system is None and row.config:
        yield "config: settings of no system"
    if table.kind == "statistics":
        if row.system is not None:
            yield "system: statistics have none"
    elif (row.system is None) == (row.unmeasured is None):
        yield "either it has a system, or unmeasured says why not"
    elif (row.items is None) == (table.kind == "item-groups"):
        yield "items: rows of item-groups have them, no others have"


def _claim_faults(table: PublishedTable, claim: Claim) -> Iterator[str]:
    rows = dict(zip(table.labels, table.rows, strict=True))
    for name in (claim.better, *claim.than):
        if name not in rows and name != table.reference_title:
            yield f"no row {name!r}; choose from: {', '.join(rows)}"
        elif name in rows and claim.metric not in rows[name].values:
            yield f"row {name!r} has no {claim.metric}"
    for column in claim.columns:
        if column not in table.columns:
            yield f"no column {column!r}; choose from: {', '.join(table.columns)}"
