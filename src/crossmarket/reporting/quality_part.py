"""Tables and sentences on quality, beside popularity of the same market."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from crossmarket.evaluation.evaluator import LIST_METRICS
from crossmarket.reporting.elements import count, number_cell, table, text_cell
from crossmarket.reporting.quality import Standing, known
from crossmarket.reporting.results import Results
from crossmarket.training.loop import SELECTION_METRIC

#: Metrics whose names are initials.
_SHORT = ("ndcg", "mrr", "map")
_POPULARITY = ("popularity", "popularity of the same market")
_VERDICTS = {"better": "better ↑", "worse": "worse ↓", "level": "no proof"}


def metric_name(metric: str) -> str:
    """A metric as papers write it."""
    name, at, depth = metric.partition("@")
    return (name.upper() if name in _SHORT else name.capitalize()) + at + depth


def quality_tables(results: Results) -> str:
    """All metrics, then each against popularity; the first metric open, the others folded."""
    others = [metric for metric in results.evaluation.metrics if metric != SELECTION_METRIC]
    return (
        _metrics(results)
        + against(SELECTION_METRIC, results.standings[SELECTION_METRIC], _POPULARITY)
        + "<details><summary>The other metrics against popularity</summary>"
        + "".join(against(metric, results.standings[metric], _POPULARITY) for metric in others)
        + "</details>"
    )


def findings(results: Results) -> Iterator[str]:
    """What an evaluation says, in sentences."""
    rows = results.standings[SELECTION_METRIC]
    macro = next(row for row in rows if row.scope == "macro")
    yield (
        f"Macro {metric_name(SELECTION_METRIC)} is {macro.mean:.4f}"
        f"{_interval(macro.low, macro.high)}, popularity's is {macro.control:.4f}: "
        f"{_change(macro)}."
    )
    for verdict, told in (
        ("better", "Better than popularity in"),
        ("worse", "Worse than popularity in"),
        ("level", "Not told apart from popularity in"),
    ):
        names = [row.name for row in rows if row.scope == "market" and row.verdict == verdict]
        if names:
            yield f"{told} {', '.join(names)}."


def _change(row: Standing) -> str:
    share = f" ({row.difference / row.control:+.0%})" if row.control > 0 else ""
    proof = {
        "better": "a gain that is hardly chance",
        "worse": "a loss that is hardly chance",
        "level": "which may be chance",
    }[row.verdict]
    p_value = _p(row.p_value)
    told = p_value if p_value.startswith("<") else f"= {p_value}"
    # No line ends inside the statement.
    return f"{row.difference:+.4f}{share}, {proof} ({f'p {told}'.replace(' ', chr(0xA0))})"


def _interval(low: float, high: float, sign: str = "") -> str:
    return f" [{low:{sign}.4f}, {high:{sign}.4f}]" if known(low) and known(high) else ""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _metrics(results: Results) -> str:
    evaluation = results.evaluation
    by_metric = [results.standings[metric] for metric in evaluation.metrics]
    rows = []
    for own in zip(*by_metric, strict=True):
        first = own[0]
        told = (
            evaluation.result["markets"][first.name]
            if first.scope == "market"
            else evaluation.result[first.scope]
        )
        cells = [count(first.users)]
        cells += [
            _with_interval(f"{row.mean:.4f}", row.mean, _interval(row.low, row.high)) for row in own
        ]
        cells += [
            number_cell(f"{told[name]:.4f}", told[name]) if name in told else text_cell("")
            for name in LIST_METRICS
        ]
        rows.append((first.name, cells))
    names = [f"#{metric_name(metric)}" for metric in (*evaluation.metrics, *LIST_METRICS)]
    return table(
        "Means over users with 95 % bootstrap intervals. Coverage: share of the items that are in "
        "anyone's list; popularity: how often "
        "the lists' items sold in training, the average item being 1",
        ["market", "#users", *names],
        rows,
    )


def _with_interval(text: str, value: float, interval: str) -> str:
    small = f"<small>{escape(interval.strip())}</small>" if interval else ""
    return f'<td class="number" data-value="{value!r}">{escape(text)}{small}</td>'


def against(metric: str, rows: Sequence[Standing], control: tuple[str, str]) -> str:
    """A table of a metric beside a control, given by a short and by a whole name."""
    lines = []
    for row in rows:
        interval = _interval(row.difference_low, row.difference_high, "+")
        lines.append(
            (
                row.name,
                [
                    number_cell(f"{row.mean:.4f}", row.mean),
                    number_cell(f"{row.control:.4f}", row.control),
                    _with_interval(f"{row.difference:+.4f}", row.difference, interval),
                    number_cell(_p(row.p_value), row.p_value),
                    text_cell(_VERDICTS[row.verdict], kind=row.verdict),
                    *(count(number) for number in (row.wins, row.ties, row.losses)),
                ],
            )
        )
    heads = ["market", "#this run", f"#{control[0]}", "#difference", "#p", "at 5 %", "#users won",
             "#level", "#lost"]  # fmt: skip
    return table(
        f"{metric_name(metric)} against {control[1]}. Paired t-tests over users; "
        "p-values of the markets are Holm-corrected together",
        heads,
        lines,
    )
