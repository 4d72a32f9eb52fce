"""A leaderboard as one self-contained page that also reads without its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from crossmarket.experiments.leaderboard.board import (
    MACRO,
    Block,
    Cell,
    Entry,
    Leaderboard,
    System,
    sort_order,
)
from crossmarket.experiments.leaderboard.figures import costs, pairs
from crossmarket.experiments.leaderboard.guide import ASSETS, guide_key, protocol_guide
from crossmarket.experiments.leaderboard.plots import FAMILIES
from crossmarket.experiments.leaderboard.rows import ResultRow, result_rows, summary_rows
from crossmarket.experiments.leaderboard.wording import (
    PARAMETERS_MEANING,
    SECONDS_MEANING,
    explain,
    facts,
    findings,
    legend,
    marks,
    mean_text,
    missing,
    note_letters,
    sources_text,
    spread_text,
    whole_text,
)
from crossmarket.experiments.pages.shell import number_cell, render_page, scroll


def to_html(board: Leaderboard) -> str:
    """Render the page; it asks the network for nothing, and equal boards give equal bytes."""
    systems = {system.title: system for system in board.systems}
    metrics = list(dict.fromkeys(metric for block in board.blocks for metric in block.metrics))
    families = [name for name in FAMILIES if any(s.family == name for s in board.systems)]
    body = Template(_asset("page.html")).substitute(
        guide="".join(_advice(block) for block in board.blocks),
        tabs="".join(
            f'<button type="button" role="tab" id="tab-{place}" aria-controls="block-{place}" '
            f'aria-selected="false" tabindex="-1">{escape(block.protocol)}</button>'
            for place, block in enumerate(board.blocks)
        ),
        metrics="".join(f"<option>{escape(metric)}</option>" for metric in metrics),
        families="".join(f"<option>{name}</option>" for name in families),
        blocks="".join(_block(place, block, systems) for place, block in enumerate(board.blocks)),
        summary=_summary(board),
        pairs="".join(pairs(board, systems)),
        provenance="".join(f"<li>{_provenance(block)}</li>" for block in board.blocks),
    )
    return render_page(
        "crossmarket: leaderboard", body, style=_asset("page.css"), script=_asset("page.js")
    )


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def _advice(block: Block) -> str:
    entry = protocol_guide().get(guide_key(block.protocol), {"trust": "", "text": block.summary})
    trust = f"<em>{escape(entry['trust'])}.</em> " if entry["trust"] else ""
    return f"<dt>{escape(block.protocol)}</dt><dd>{trust}{escape(entry['text'])}</dd>"


def _provenance(block: Block) -> str:
    hashes = ", ".join(f"seed {seed}: {found[:12]}" for seed, found in block.candidates.items())
    return escape(
        f"{block.protocol}: {'; '.join(block.names)}; data {block.data[:12]}; candidates "
        f"{hashes}; commit {', '.join(own[:10] for own in block.commits) or 'unknown'}"
    )


def _block(place: int, block: Block, systems: Mapping[str, System]) -> str:
    said = "".join(f"<li>{escape(sentence)}</li>" for sentence in findings(block, systems))
    marks_told = "".join(f"<li>{escape(sentence)}</li>" for sentence in legend(block))
    notes = "".join(
        f"<li><sup>{letter}</sup> {escape(note)}</li>"
        for note, letter in note_letters(block).items()
    )
    empty = "".join(f"<li>{escape(sentence)}</li>" for sentence in missing(block))
    return (
        f'<section class="block" id="block-{place}" aria-labelledby="head-{place}">'
        f'<h2 id="head-{place}">{escape(block.protocol)}</h2>'
        f"<p>{escape(block.summary[:1].upper() + block.summary[1:])}. {escape(facts(block))}</p>"
        f'<ul class="findings">{said}</ul>'
        + "".join(_table(block, metric, systems) for metric in block.metrics)
        + f'<ul class="legend">{marks_told}{notes}</ul>'
        + (f"<details><summary>Not measured, and why</summary><ul>{empty}</ul></details>"
           if empty else "")
        + "".join(costs(block, metric, systems) for metric in block.metrics)
        + "</section>"
    )  # fmt: skip


def _head(text: str, *, told: str = "", numeric: bool = True, sort: str = "none") -> str:
    """A heading that sorts its column."""
    kind = ' class="number"' if numeric else ""
    hint = f' title="{escape(told)}"' if told else ""
    return (
        f'<th scope="col" aria-sort="{sort}"{kind}>'
        f'<button type="button"{hint}>{escape(text)}</button></th>'
    )


def _table(block: Block, metric: str, systems: Mapping[str, System]) -> str:
    heads = [
        _head("system", told="By name", numeric=False),
        _head("family", numeric=False),
        _head("rank", told="Mean rank over the markets, 1 is best"),
    ]
    for column in block.columns:
        users = f"{block.users_of(column):,} test users"
        told = f"Mean over the markets; {users}" if column == MACRO else users
        heads.append(_head(column, told=told, sort="descending" if column == MACRO else "none"))
    heads += [_head("parameters", told=PARAMETERS_MEANING), _head("CPU s", told=SECONDS_MEANING)]
    found = result_rows(block, metric)
    limits = {
        column: [row.cells[column].mean for row in found if row.cells] for column in block.columns
    }
    rows = [
        _row(block, found[at], systems[found[at].entry.title], limits)
        for at in sort_order(block.entries, metric)
    ]
    name = f"{metric} under {block.protocol}; a stronger tint is nearer to the best of its column"
    return scroll(_sortable(name, heads, rows), name, attributes=f' data-metric="{escape(metric)}"')


def _sortable(caption: str, heads: Sequence[str], rows: Sequence[str]) -> str:
    return (
        f'<table class="sortable"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _row(
    block: Block, row: ResultRow, system: System, limits: Mapping[str, Sequence[float]]
) -> str:
    entry = row.entry
    told = escape("; ".join(entry.notes))
    noted = f'<sup title="{told}">{row.letters}</sup>' if row.letters else ""
    reference = " (reference)" if entry.title == block.reference else ""
    head = (
        f'<tr data-family="{system.family}" data-place="{row.place}"'
        f"{'' if entry.reason is None else ' class=missing'}>"
        f'<th scope="row">{escape(entry.title)}{noted}{reference}</th><td>{system.family}</td>'
    )
    if row.rank is None:
        span = len(block.columns) + 3
        return f'{head}<td class="reason" colspan="{span}">{escape(entry.reason or "")}</td></tr>'
    cells = [number_cell(f"{row.rank:.1f}", row.rank)]
    for column, cell in row.cells.items():
        cells.append(_cell(block, entry, column, cell, limits[column]))
    cells += [_whole_cell(entry.mean_trainable), _whole_cell(entry.cpu_seconds)]
    return head + "".join(cells) + "</tr>"


def _whole_cell(number: float | None) -> str:
    return "<td></td>" if number is None else number_cell(whole_text(number), number)


def _cell(block: Block, entry: Entry, column: str, cell: Cell, means: Sequence[float]) -> str:
    low, high = min(means), max(means)
    heat = round(100 * (cell.mean - low) / (high - low)) if high > low else 100
    seeds = f"{len(entry.seeds)} seed{'s' if len(entry.seeds) > 1 else ''}"
    told = f"{mean_text(cell)}{spread_text(cell)} ({seeds}, {block.users_of(column):,} users)"
    tested = explain(cell, block.reference)
    told += f"; {tested}" if tested else "; the reference itself" * (entry.title == block.reference)
    number = f"<b>{mean_text(cell)}</b>" if cell.standing == "best" else mean_text(cell)
    spread = "" if cell.std is None else f"<small>{escape(spread_text(cell))}</small>"
    signs = f'<span class="marks">{marks(cell)}</span>'
    return (
        f'<td class="number heat" data-value="{cell.mean!r}" style="--heat:{heat}" '
        f'title="{escape(told)}">{number}{signs}{spread}</td>'
    )


def _summary(board: Leaderboard) -> str:
    heads = [
        _head("system", numeric=False),
        _head("family", numeric=False),
        _head("other markets", told="Whether other markets change its scores", numeric=False),
    ]
    for block in board.blocks:
        told = f"Mean rank over markets by {block.metrics[0]}, of {len(block.measured)} systems"
        heads.append(_head(f"rank, {block.protocol}", told=told))
    heads.append(_head("parameters, mean", told=PARAMETERS_MEANING))
    with_uk = any("uk" in block.users for block in board.blocks)
    if with_uk:
        heads.append(_head("parameters, uk", told="Trainable numbers of the model of uk."))
    heads += [_head(f"CPU s, {block.protocol}", told=SECONDS_MEANING) for block in board.blocks]
    rows = []
    for row in summary_rows(board):
        system = row.system
        cells = [f"<td>{system.family}</td><td>{sources_text(system)}</td>"]
        for entry, rank in zip(row.entries, row.ranks, strict=True):
            cells.append(
                f'<td class="number none" title="{escape(entry.reason or "")}">–</td>'
                if rank is None
                else number_cell(f"{rank:.1f}", rank)
            )
        numbers = [row.parameters, *([row.parameters_uk] if with_uk else [])]
        numbers += [entry.cpu_seconds for entry in row.entries]
        cells += [_whole_cell(number) for number in numbers]
        rows.append(
            f'<tr data-family="{system.family}" data-place="{row.place}"'
            f"{' class=missing' if row.parameters is None else ''}>"
            f'<th scope="row">{escape(system.title)}</th>{"".join(cells)}</tr>'
        )
    name = "All systems over all protocols"
    return scroll(_sortable(f"{name}; ranks are means over markets, 1 is best", heads, rows), name)
