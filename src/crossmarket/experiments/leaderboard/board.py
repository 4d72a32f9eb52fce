"""What a leaderboard holds: a block for each protocol, in it every system, measured or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

#: Column of the mean over markets, beside the markets' own.
MACRO = "macro"

#: A difference counts where the corrected p-value is below this.
LEVEL = 0.05

#: Best of its column, not distinguishable from the best, or behind it.
Standing = Literal["best", "level", "behind"]


@dataclass(frozen=True)
class Versus:
    """A cell against the reference's on the same users; differences are system minus reference.

    Attributes
    ----------
    difference, low, high : float
        Mean difference and its 95 % bootstrap interval, in units of the metric; the interval is
        None with fewer than two users.
    p_holm : float
        Paired t-test after Holm's correction, see `standings.Standings`.
    effect_size : float
        Cohen's d_z; None where it is not finite.
    wins, ties, losses : int
        Users with whom the system does better than, as well as, worse than the reference.
    """

    difference: float
    low: float | None
    high: float | None
    p_holm: float
    effect_size: float | None
    wins: int
    ties: int
    losses: int

    @property
    def verdict(self) -> Literal["better", "worse", ""]:
        """What the test allows to say."""
        if self.p_holm >= LEVEL:
            return ""
        return "better" if self.difference > 0 else "worse"


@dataclass(frozen=True)
class Cell:
    """One number: mean over seeds, deviation between them (None for one seed), how it stands."""

    mean: float
    std: float | None
    standing: Standing
    versus: Versus | None


@dataclass(frozen=True)
class Entry:
    """A system under one protocol.

    Attributes
    ----------
    title : str
        The system.
    reason : str or None
        Why there is no result; None where there is one.
    seeds : tuple of int
        Seeds that were measured.
    notes : tuple of str
        What sets this result apart: fewer seeds, fewer epochs, other settings.
    cells : dict
        `cells[metric][market]`, market `macro` too; empty without result.
    rank : dict
        Mean rank over the markets by metric, 1 is best; ties share their mean rank.
    trainable : dict
        Trainable scalars by market.
    seconds, cpu_seconds : float or None
        What all markets of one seed took, stages that an earlier system had trained not counted.
    """

    title: str
    reason: str | None = None
    seeds: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    cells: Mapping[str, Mapping[str, Cell]] = field(default_factory=dict)
    rank: Mapping[str, float] = field(default_factory=dict)
    trainable: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    cpu_seconds: float | None = None

    @property
    def mean_trainable(self) -> float | None:
        """Trainable scalars of one market's model, mean over the markets."""
        counts = self.trainable.values()
        return sum(counts) / len(counts) if counts else None


@dataclass(frozen=True)
class Block:
    """All results under one protocol, on the same data and candidates.

    Attributes
    ----------
    protocol, summary : str
        Label of the protocol and what it does.
    data : str
        Fingerprint of the data.
    candidates : dict
        Hash of what is ranked for whom, by seed.
    users : dict
        Test users by market, mean over seeds.
    metrics : tuple of str
        The first one decides ranks and order.
    reference : str
        The system that the others are tested against.
    names, commits : tuple of str
        Experiments that were gathered and the source trees they ran from.
    entries : tuple of Entry
        One for each system of the leaderboard, in its order.
    """

    protocol: str
    summary: str
    data: str
    candidates: Mapping[str, str]
    users: Mapping[str, int]
    metrics: tuple[str, ...]
    reference: str
    names: tuple[str, ...]
    commits: tuple[str, ...]
    entries: tuple[Entry, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of numbers: the mean over markets, then each market."""
        return (MACRO, *self.users)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds that any system was measured with."""
        return tuple(sorted(int(seed) for seed in self.candidates))

    @property
    def measured(self) -> tuple[Entry, ...]:
        """Entries that have a result."""
        return tuple(entry for entry in self.entries if entry.reason is None)

    def users_of(self, column: str) -> int:
        """Test users behind a column."""
        return sum(self.users.values()) if column == MACRO else self.users[column]


@dataclass(frozen=True)
class System:
    """What a system is, whatever it was measured with.

    Attributes
    ----------
    family : str
        `control`, `single`, `merged`, `multi-task`, `cross-domain`, `cross-market`, or `unknown`
        for a plug-in that is not installed.
    uses_sources : bool or None
        Whether other markets' interactions change its scores; None where unknown.
    in_catalogue : bool
        Whether the catalogue knows it, or only a comparison.
    """

    title: str
    model: str
    family: str
    uses_sources: bool | None
    in_catalogue: bool


@dataclass(frozen=True)
class Leaderboard:
    """Every system, and a block for each protocol, the most telling protocol first."""

    systems: tuple[System, ...]
    blocks: tuple[Block, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; nothing in it is lost in writing."""
        return asdict(self)


def sort_order(entries: Sequence[Entry], metric: str, column: str = MACRO) -> list[int]:
    """Places of the entries from the best mean to the worst; without result last, ties stay."""

    def key(place: int) -> tuple[bool, float]:
        cells = entries[place].cells
        return (not cells, -cells[metric][column].mean if cells else 0.0)

    return sorted(range(len(entries)), key=key)
