"""Words and marks that every rendering of a leaderboard shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from string import ascii_lowercase

from crossmarket.experiments.leaderboard.board import MACRO, Block, Cell, System

#: What a mark behind a number says.
LEVEL_MARK, BETTER_MARK, WORSE_MARK = "≈", "↑", "↓"

PARAMETERS = "parameters"
PARAMETERS_MEANING = "Trainable numbers of one market's model, mean over the markets."
SECONDS_MEANING = (
    "Processor seconds for all markets of one seed, evaluation included; what an earlier system "
    "had trained (a shared backbone, say) is not counted again."
)


def marks(cell: Cell) -> str:
    """Marks behind a number: level with the best, better or worse than the reference."""
    verdict = cell.versus.verdict if cell.versus else ""
    level = LEVEL_MARK if cell.standing == "level" else ""
    return level + {"better": BETTER_MARK, "worse": WORSE_MARK, "": ""}[verdict]


def legend(block: Block) -> list[str]:
    """How to read the marks of a block, a sentence each."""
    spread = (
        "± is the standard deviation between seeds"
        if len(block.seeds) > 1
        else ("one seed, so there is no spread between seeds")
    )
    return [
        f"Bold is the best of a column, {LEVEL_MARK} cannot be told from it.",
        f"{BETTER_MARK} better, {WORSE_MARK} worse than {block.reference}; without an arrow the "
        "difference may be chance.",
        "Paired t-tests over users at 5 %, Holm-corrected over the systems (macro) or over systems "
        "and markets together.",
        f"{MACRO} is the mean over markets, each market counting alike; rank is the mean rank "
        f"over markets, 1 is best; {spread}.",
    ]


def note_letters(block: Block) -> dict[str, str]:
    """A letter for each distinct note of a block, in order of appearance."""
    notes = dict.fromkeys(note for entry in block.measured for note in entry.notes)
    return {note: _letter(place) for place, note in enumerate(notes)}


def _letter(place: int) -> str:
    more, last = divmod(place, len(ascii_lowercase))
    return (_letter(more - 1) if more else "") + ascii_lowercase[last]


def missing(block: Block) -> list[str]:
    """A sentence for each reason why systems have no result, with their titles."""
    found: dict[str, list[str]] = {}
    for entry in block.entries:
        if entry.reason is not None:
            found.setdefault(entry.reason, []).append(entry.title)
    return [f"{'; '.join(titles)}: {reason}." for reason, titles in found.items()]


def whole_text(number: float | None) -> str:
    """A large number, such as seconds or parameters; nothing where it is unknown."""
    return "" if number is None else f"{number:,.0f}"


def mean_text(cell: Cell) -> str:
    """The number alone; every rendering rounds alike."""
    return f"{cell.mean:.4f}"


def spread_text(cell: Cell) -> str:
    """The spread, or nothing for a single seed."""
    return "" if cell.std is None else f" ± {cell.std:.4f}"


def explain(cell: Cell, reference: str) -> str:
    """A cell's test in one line; nothing for the reference itself."""
    test = cell.versus
    if test is None:
        return ""
    interval = "no interval"
    if test.low is not None and test.high is not None:
        interval = f"95 % interval {test.low:+.4f} to {test.high:+.4f}"
    effect = "" if test.effect_size is None else f", effect size d_z {test.effect_size:+.2f}"
    return (
        f"against {reference}: {test.difference:+.4f}, {interval}, p (Holm) {p_text(test.p_holm)}"
        f"{effect}, win/tie/loss {test.wins}/{test.ties}/{test.losses} users"
    )


def p_text(value: float) -> str:
    """A p-value as people read it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def facts(block: Block) -> str:
    """What was measured on what, in one line."""
    seeds = ", ".join(str(seed) for seed in block.seeds)
    users = ", ".join(f"{market} {number:,}" for market, number in block.users.items())
    return (
        f"Data {block.data[:12]}; seed{'s' if len(block.seeds) > 1 else ''} {seeds}; test users: "
        f"{users}."
    )


def sources_text(system: System) -> str:
    """Whether other markets change the scores."""
    return {True: "yes", False: "no", None: "unknown"}[system.uses_sources]


def findings(block: Block, systems: Mapping[str, System]) -> Iterator[str]:
    """What a block shows, in sentences that follow from its numbers."""
    metric = block.metrics[0]
    cells = {entry.title: entry.cells[metric][MACRO] for entry in block.measured}
    best = max(cells, key=lambda title: cells[title].mean)
    level = [title for title, cell in cells.items() if cell.standing == "level"]
    yield (
        f"{best} leads with {cells[best].mean:.4f} {metric} (mean over markets), "
        + (f"level with {', '.join(level)}." if level else "and no other system is level with it.")
    )
    controls = [title for title in cells if systems[title].model.endswith("popularity")]
    if controls:
        bar = max(controls, key=lambda title: cells[title].mean)
        above = sum(cells[title].mean > cells[bar].mean for title in cells)
        others = len(cells) - len(controls)
        yield f"{above} of {others} other systems score above {bar}, the best best-seller list."
    tests = [cell.versus for cell in cells.values() if cell.versus]
    better = sum(test.verdict == "better" for test in tests)
    worse = sum(test.verdict == "worse" for test in tests)
    yield (
        f"Against {block.reference}: {better} better, {worse} worse, {len(tests) - better - worse} "
        "not distinguishable."
    )
