"""A leaderboard as one self-contained page that also reads without its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from string import Template

from crossmarket.experiments.leaderboard.board import (
    MACRO,
    Block,
    Entry,
    Leaderboard,
    System,
    sort_order,
)
from crossmarket.experiments.leaderboard.figures import costs, pairs
from crossmarket.experiments.leaderboard.guide import ASSETS, guide_key, protocol_guide
from crossmarket.experiments.leaderboard.plots import FAMILIES
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
    parameters,
    sources_text,
    spread_text,
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
    limits = {
        column: [entry.cells[metric][column].mean for entry in block.measured]
        for column in block.columns
    }
    letters = note_letters(block)
    rows = [
        _row(block, block.entries[at], at, metric, systems, limits, letters)
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
    block: Block,
    entry: Entry,
    at: int,
    metric: str,
    systems: Mapping[str, System],
    limits: Mapping[str, Sequence[float]],
    letters: Mapping[str, str],
) -> str:
    system = systems[entry.title]
    sup = ",".join(letters[note] for note in entry.notes)
    noted = f'<sup title="{escape("; ".join(entry.notes))}">{sup}</sup>' if sup else ""
    reference = " (reference)" if entry.title == block.reference else ""
    head = (
        f'<tr data-family="{system.family}" data-place="{at}"'
        f"{'' if entry.reason is None else ' class=missing'}>"
        f'<th scope="row">{escape(entry.title)}{noted}{reference}</th><td>{system.family}</td>'
    )
    if entry.reason is not None:
        span = len(block.columns) + 3
        return f'{head}<td class="reason" colspan="{span}">{escape(entry.reason)}</td></tr>'
    cells = [number_cell(f"{entry.rank[metric]:.1f}", entry.rank[metric])]
    cells += [_cell(block, entry, metric, column, limits[column]) for column in block.columns]
    mean = sum(entry.trainable.values()) / len(entry.trainable)
    cells.append(number_cell(parameters(entry), mean))
    seconds = entry.cpu_seconds
    cells.append("<td></td>" if seconds is None else number_cell(f"{seconds:,.0f}", seconds))
    return head + "".join(cells) + "</tr>"


def _cell(block: Block, entry: Entry, metric: str, column: str, means: Sequence[float]) -> str:
    cell = entry.cells[metric][column]
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
    for place, system in enumerate(board.systems):
        entries = [block.entries[place] for block in board.blocks]
        cells = [f"<td>{system.family}</td><td>{sources_text(system)}</td>"]
        for block, entry in zip(board.blocks, entries, strict=True):
            rank = None if entry.reason else entry.rank[block.metrics[0]]
            cells.append(
                f'<td class="number none" title="{escape(entry.reason or "")}">–</td>'
                if rank is None
                else number_cell(f"{rank:.1f}", rank)
            )
        sized = next((entry for entry in entries if entry.trainable), None)
        counts = sized.trainable if sized else {}
        numbers = [sum(counts.values()) / len(counts) if counts else None]
        numbers += [counts.get("uk")] if with_uk else []
        numbers += [entry.cpu_seconds for entry in entries]
        cells += ["<td></td>" if n is None else number_cell(f"{n:,.0f}", n) for n in numbers]
        rows.append(
            f'<tr data-family="{system.family}" data-place="{place}"'
            f"{'' if sized else ' class=missing'}>"
            f'<th scope="row">{escape(system.title)}</th>{"".join(cells)}</tr>'
        )
    name = "All systems over all protocols"
    return scroll(_sortable(f"{name}; ranks are means over markets, 1 is best", heads, rows), name)
