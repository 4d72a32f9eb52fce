"""What was run, and on which data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from crossmarket.data.describe import Description, similarity_maps
from crossmarket.models.config import flat_values
from crossmarket.models.registry import build_model, default_preset, find_model
from crossmarket.reporting.elements import (
    count,
    facts,
    heat_map,
    missing,
    number_cell,
    paragraph,
    sentences,
    table,
    text_cell,
)
from crossmarket.reporting.material import Material

#: What each choice of source interactions means.
_SOURCES = {"train": "their training part", "all": "all their interactions"}
#: Rejected rows that are shown.
_SHOWN = 10


def run_part(material: Material) -> str:
    """Settings, seed, data, versions and commit."""
    settings, run = material.run.settings, material.run
    evaluated = [one.result for fitted in material.fitted for one in fitted.evaluations]
    commits = dict.fromkeys(str(result["commit"] or "unknown") for result in evaluated)
    model = find_model(settings.model)
    pairs = [
        ("System", f"{settings.model}: {model.summary} ({model.paper})"),
        ("Fitted for", settings.protocol.label),
        ("Results of", ", ".join(one.protocol.label for one in material.fitted) or "nothing yet"),
        ("Targets", ", ".join(settings.targets)),
        ("Markets in the data", ", ".join(run.data.dataset.markets)),
        ("Learned from sources", _SOURCES[settings.source_split]),
        ("Seed", str(settings.seed)),
        ("Threads, device", f"{settings.threads}, {settings.device}"),
        ("Data (SHA-256)", run.data.dataset.fingerprint),
        ("Commit", ", ".join(commits) or "told once the run is evaluated"),
        ("Fitted with", ", ".join(f"{name} {own}" for name, own in material.versions.items())),
    ]
    return facts(pairs) + _settings(settings.model, settings.config)


def _settings(model: str, config: dict[str, Any]) -> str:
    usual = flat_values(build_model(model).get_config())
    own = flat_values(config)
    changed = [name for name in own if own[name] != usual.get(name)]
    start = default_preset(find_model(model))
    basis = f"preset {start!r}" if start else "usual settings"
    rows = [
        (name, [text_cell(_value(own[name])), text_cell(_value(usual.get(name)))])
        for name in changed
    ]
    told = (
        table(
            f"Settings that differ from the {basis} of {model}",
            ["setting", "this run", "usual"],
            rows,
        )
        if rows
        else paragraph(f"Every setting is that of the {basis} of {model}.")
    )
    whole = table(
        "All settings",
        ["setting", "value"],
        [(name, [text_cell(_value(value))]) for name, value in own.items()],
    )
    return told + f"<details><summary>All {len(own)} settings</summary>{whole}</details>"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def data_part(material: Material, description: Description) -> str:
    """Where every row went, how large the markets are and how alike."""
    statistics = description.statistics
    rows = [
        (
            name,
            [
                count(own.users),
                count(own.items),
                count(own.interactions),
                number_cell(f"{own.density:.3%}", own.density),
                number_cell(f"{own.interactions_per_user:.1f}", own.interactions_per_user),
                number_cell(f"{own.shared_items:.0%}", own.shared_items),
                text_cell(f"{own.first_day} to {own.last_day}" if own.first_day else "unknown"),
            ],
        )
        for name, own in statistics.items()
    ]
    heads = [
        "market", "#users", "#items", "#interactions", "#density", "#per user",
        "#sold elsewhere", "dates (UTC)",
    ]  # fmt: skip
    maps = similarity_maps(
        description.markets, description.overlap, description.jaccard, description.cosine
    )
    alike = "".join(heat_map(one) for one in maps) if len(description.markets) > 1 else ""
    return (
        "<h3>Where every row went</h3>"
        + _accounting(material)
        + "<h3>Markets</h3>"
        + table(
            "Size of each market. Density: interactions per cell of the users × items matrix; "
            "sold elsewhere: share of the items that another market sells too",
            heads,
            rows,
        )
        + (f'<h3>How alike the markets are</h3><div class="maps">{alike}</div>' if alike else "")
    )


def _accounting(material: Material) -> str:
    account = material.accounting
    if account is None:
        return missing("the rows of the input files", "crossmarket fit --data DATA --out RUN")
    reasons = sorted(account["rejected"])
    lines = [(file["name"], file) for file in account["files"]]
    lines += [("together", account)] if len(lines) > 1 else []
    rows = [
        (
            name,
            [
                count(own["read"]),
                count(own["kept"]),
                count(own["merged"]),
                *(count(own["rejected"].get(reason, 0)) for reason in reasons),
            ],
        )
        for name, own in lines
    ]
    heads = ["file", "#read", "#kept", "#merged", *(f"#{reason}" for reason in reasons)]
    caption = (
        "Rows read = kept + merged into a kept row of the same user and item + rejected, by reason"
    )
    return table(caption, heads, rows) + sentences(_remarks(material)) + _rejected(material)


def _remarks(material: Material) -> Iterator[str]:
    account, dataset = material.accounting or {}, material.run.data.dataset
    if not account["rejected"]:
        yield "No row was rejected."
    if account["kept"] != dataset.num_interactions:
        yield (
            f"The run uses {dataset.num_interactions:,} of the {account['kept']:,} kept "
            "interactions: those of its markets."
        )


def _rejected(material: Material) -> str:
    if material.rejected.is_empty():
        return ""
    shown = material.rejected.head(_SHOWN)
    rows = [
        (row["file"] or "", [text_cell(str(row[name])) for name in ("line", "reason", "text")])
        for row in shown.iter_rows(named=True)
    ]
    return (
        f"<details><summary>The first {shown.height} of {material.rejected.height:,} rejected rows"
        "</summary>"
        + table("Rejected rows", ["file", "line", "reason", "text of the row"], rows)
        + "</details>"
    )
