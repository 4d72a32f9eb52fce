"""One protocol of a run: its split, its trainings, its size and its results."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from crossmarket.data.describe import Description
from crossmarket.evaluation.leak import find_leaks
from crossmarket.evaluation.protocols import KINDS
from crossmarket.experiments.leaderboard.guide import guide_key, protocol_guide
from crossmarket.reporting.drawings import draw_training
from crossmarket.reporting.elements import (
    count,
    missing,
    number_cell,
    paragraph,
    picture,
    pictures,
    sentences,
    size_text,
    table,
    text_cell,
)
from crossmarket.reporting.material import Fitted, Material
from crossmarket.reporting.results import Results
from crossmarket.reporting.results_part import results_part
from crossmarket.reporting.trainings import Training

#: Bytes of a trained number (float32).
_BYTES = 4


def protocol_part(
    material: Material, fitted: Fitted, found: list[Results], description: Description, prefix: str
) -> str:
    """Everything about one protocol; `prefix` is unique in the page."""
    key = guide_key(fitted.protocol.label)
    guide = protocol_guide().get(key, {"trust": "", "text": ""})
    trust = f"{guide['trust']}. " if guide["trust"] else ""
    command = _command("evaluate", fitted)
    quality = (
        "".join(
            results_part(material, one, description, f"{prefix}-{place}")
            for place, one in enumerate(found)
        )
        if found
        else "<h3>Quality</h3>" + missing("results under this protocol", command)
    )
    return (
        paragraph(f"{KINDS[key].summary[:1].upper()}{KINDS[key].summary[1:]}.")
        + (paragraph(trust + guide["text"], kind="advice") if guide["text"] else "")
        + quality
        + "<h3>Split</h3>"
        + _split(fitted)
        + "<h3>Training</h3>"
        + _training(fitted, prefix)
        + "<h3>What a market costs</h3>"
        + _sizes(fitted)
    )


def _command(name: str, fitted: Fitted) -> str:
    return f"crossmarket {name} RUN --protocol {fitted.protocol.name}" + (
        " --refit" if fitted.protocol.refit else ""
    )


def _split(fitted: Fitted) -> str:
    counts = fitted.split.counts()
    totals = {
        part: sum(own[part] for own in counts.values()) for part in ("train", "valid", "test")
    }
    rows = []
    for name, own in {**counts, "together": totals}.items():
        whole = sum(own.values())
        cells = [count(whole)]
        for part in ("train", "valid", "test"):
            share = own[part] / whole if whole else 0.0
            cells.append(number_cell(f"{own[part]:,} ({share:.0%})", own[part]))
        rows.append((name, cells))
    return table(
        "Interactions by part",
        ["market", "#all parts", "#training", "#validation", "#test"],
        rows,
    ) + sentences(_split_remarks(fitted))


def _split_remarks(fitted: Fitted) -> Iterator[str]:
    details = fitted.split.details
    if "valid_from_date" in details:
        yield (
            f"Training ends before {details['valid_from_date']}, validation before "
            f"{details['test_from_date']}; what came later is the test part."
        )
    aside = fitted.split.set_aside
    if aside is not None and aside.num_interactions:
        yield f"{aside.num_interactions:,} interactions belong to no part and are never looked at."
    leaks = find_leaks(fitted.split).height
    if not leaks:
        yield "Leak check passed: no interaction is in two parts, none on the wrong side of a date."
    elif fitted.protocol.leaks:
        yield f"{leaks:,} interactions leak, as this protocol means to show. Do not believe it."
    else:
        yield f"Leak check failed: {leaks:,} interactions leak, so the numbers mean nothing."


def _training(fitted: Fitted, prefix: str) -> str:
    if not fitted.trainings:
        if fitted.trainable is not None:
            return paragraph("This system is computed in one go; it has no training curves.")
        return missing("a finished training", "crossmarket fit --data DATA --out RUN")
    drawn = [
        picture(one.title, _told(one), f"{prefix}-t{place}", partial(draw_training, one))
        for place, one in enumerate(fitted.trainings)
        if len(one.history) > 1
    ]
    heads = ["stage", "#epochs", "#kept", "#NDCG@10 kept", "#first loss", "#last loss",
             "#s an epoch", "#numbers", "#bytes on disk"]  # fmt: skip
    return (
        table(
            "Trained stages; those of a market carry its name, the others serve every market. "
            "NDCG@10 is that of the validation part",
            heads,
            [(one.title, _stage_cells(one)) for one in fitted.trainings],
        )
        + sentences(_training_remarks(fitted))
        + pictures(drawn)
    )


def _stage_cells(training: Training) -> list[str]:
    _, losses = training.series("loss")
    seconds, best = training.seconds_an_epoch, training.best_value
    blank = text_cell("–", kind="number")
    return [
        count(len(training.history) - 1),
        count(training.best_epoch),
        blank if best is None else number_cell(f"{best:.4f}", best),
        *(number_cell(f"{losses[at]:.4g}", losses[at]) if losses else blank for at in (0, -1)),
        blank if seconds is None else number_cell(f"{seconds:.2f}", seconds),
        count(training.scalars),
        number_cell(size_text(training.size), training.size),
    ]


def _told(training: Training) -> str:
    epochs, seconds = len(training.history) - 1, training.seconds_an_epoch
    took = "" if seconds is None else f", {seconds:.2f} s each"
    value = training.best_value
    quality = "" if value is None else f" with NDCG@10 {value:.4f}"
    return f"{epochs} epochs{took}; epoch {training.best_epoch} kept{quality}."


def _training_remarks(fitted: Fitted) -> Iterator[str]:
    rising = [one.title for one in fitted.trainings if one.still_rising]
    if rising:
        yield (
            f"Best in the last epoch that was allowed: {', '.join(rising)}. More epochs may make "
            "it better."
        )
    unmoved = [one.title for one in fitted.trainings if one.validated and not one.best_epoch]
    if unmoved:
        yield f"Never better than at the start: {', '.join(unmoved)}."


def _sizes(fitted: Fitted) -> str:
    known = [one.result["trainable"] for one in fitted.evaluations] + [fitted.trainable]
    trainable = next((one for one in known if one), None)
    if trainable is None:
        return missing("the number of trainable parameters", _command("evaluate", fitted))
    shared = sum(one.scalars for one in fitted.trainings if one.market is None)
    rows = []
    for market, scalars in trainable.items():
        cells = [count(scalars), number_cell(size_text(_BYTES * scalars), _BYTES * scalars)]
        if shared:
            cells.append(number_cell(f"{scalars / shared:.1%}", scalars / shared))
        rows.append((market, cells))
    heads = ["market", "#trainable numbers", "#bytes"]
    told = f"Trainable numbers of each market's model, {_BYTES} bytes each"
    if shared:
        heads.append("#of the shared stages")
        told += f"; what all markets share has {shared:,} numbers ({size_text(_BYTES * shared)})"
    return table(told, heads, rows)
