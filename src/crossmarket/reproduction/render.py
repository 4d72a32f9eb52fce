"""A reproduction as a page for people: published and measured side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def to_markdown(record: Mapping[str, Any]) -> str:
    """Render the record of `reproduce` as Markdown."""
    title = record["title"].rstrip(".")
    number = f", Table {record['table']}" if record["table"] is not None else ""
    lines = [
        f"# {record['name']}: {title}",
        "",
        f"{record['paper']}{number}. {record['stated']}",
        "",
        _measured_on(record),
        "",
    ]
    if record["comparable"]:
        lines += [f"**No number of this table can be compared.** {record['comparable']}", ""]
    lines += _verdicts(record["rows"], record["comparable"])
    if record["claims"]:
        lines += _claims(record["claims"])
    for metric in dict.fromkeys(cell["metric"] for row in record["rows"] for cell in row["cells"]):
        lines += _metric(record, metric)
    if record["notes"]:
        lines += [
            "## Notes on the table as printed",
            "",
            *(f"- {note}" for note in record["notes"]),
            "",
        ]
    return "\n".join(lines)


def _measured_on(record: Mapping[str, Any]) -> str:
    how = f"protocol `{record['protocol']}`" if record["protocol"] else "counted"
    seeds = ", ".join(str(seed) for seed in record["seeds"])
    return (
        f"Measured on the public data `{record['data']}` ({record['fingerprint'][:12]}), {how}, "
        f"seeds {seeds}. Beside a measured mean stands ± the deviation between seeds, or, with one "
        "seed, the standard error over users; a cell agrees where the difference to the published "
        "value is noise: at most 1.96 standard errors of a difference between two such figures."
    )


def _verdicts(rows: Sequence[Mapping[str, Any]], comparable: str | None) -> list[str]:
    """Verdicts row by row; those that only repeat the reason for the whole table in one line."""
    own = [row for row in rows if row["reason"] != comparable]
    if not own:
        return []
    lines = ["## Verdicts", "", "| row | verdict | why |", "|---|---|---|"]
    lines += [f"| {_label(row)} | {row['verdict']} | {row['reason']} |" for row in own]
    if comparable and len(own) < len(rows):
        lines.append("| all others | cannot be compared | see above |")
    return [*lines, ""]


def _label(row: Mapping[str, Any]) -> str:
    return str(row["row"]).replace("|", "\\|")


def _claims(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "## What the paper concludes",
        "",
        "| conclusion | metric | verdict | why |",
        "|---|---|---|---|",
    ]
    for claim in claims:
        lines.append(
            f"| {claim['text']} | {claim['metric']} | {claim['verdict']} | {claim['reason']} |"
        )
    return [*lines, ""]


def _metric(record: Mapping[str, Any], metric: str) -> list[str]:
    columns = record["columns"]
    lines = [
        f"## {metric}",
        "",
        "| row | | " + " | ".join(columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for row in record["rows"]:
        cells = {cell["column"]: cell for cell in row["cells"] if cell["metric"] == metric}
        if not cells:
            continue
        known = any(cell["measured"] is not None for cell in cells.values())
        kinds = ["published", *(["measured", "difference"] if known else [])]
        for place, kind in enumerate(kinds):
            shown = [_cell(cells.get(column), kind) for column in columns]
            name = _label(row) if place == 0 else ""
            lines.append(f"| {name} | {kind} | " + " | ".join(shown) + " |")
    for control in record["controls"]:
        cells = {cell["column"]: cell for cell in control["cells"] if cell["metric"] == metric}
        shown = [_cell(cells.get(column), "measured") for column in columns]
        lines.append(f"| *{control['row']}, not in the paper* | measured | {' | '.join(shown)} |")
    return [*lines, ""]


def _cell(cell: Mapping[str, Any] | None, kind: str) -> str:
    if cell is None or cell[kind] is None:
        return ""
    if kind == "measured":
        spread = cell["std"] if cell["std"] is not None else cell["error"]
        return number(cell[kind]) + (f" ± {number(spread)}" if spread is not None else "")
    if kind == "difference":
        sign = "+" if cell[kind] >= 0 else "−"
        text = "0" if cell[kind] == 0 else sign + number(abs(cell[kind]), cell["published"])
        return f"{text} ✓" if cell["agrees"] else text
    return number(cell[kind])


def number(value: float, beside: float = 0.0) -> str:
    """Four decimals for shares, two for small counts, none for large ones (or beside such)."""
    size = max(abs(value), abs(beside))
    if size < 2:
        return f"{value:.4f}"
    return f"{value:,.2f}" if size < 100 and value != int(value) else f"{value:,.0f}"
