"""Many comparisons in one leaderboard, with a reason wherever a number is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import KINDS, Protocol
from crossmarket.experiments.leaderboard.board import Block, Entry, Leaderboard, System
from crossmarket.experiments.leaderboard.guide import base_name, guide_key, trust
from crossmarket.experiments.leaderboard.reading import Joined, join, read_folder
from crossmarket.experiments.leaderboard.standings import Standings
from crossmarket.experiments.systems import SystemConfig, known_systems
from crossmarket.experiments.yaml_files import load_yaml
from crossmarket.models.registry import build_model

#: Key of a reason that holds under every protocol.
EVERYWHERE = "every protocol"

#: The systems of a leaderboard by title, with the settings that they should have under a protocol.
Systems = Callable[[Protocol], Mapping[str, SystemConfig]]

#: Reasons by protocol, then by title.
Reasons = Mapping[str, Mapping[str, str]]


def gather(
    folders: Sequence[Path], systems: Systems = known_systems, reasons: Reasons | None = None
) -> Leaderboard:
    """Gather the results of comparisons.

    Parameters
    ----------
    folders : sequence of Path
        Folders that `crossmarket compare` wrote. Those of one protocol become one block, so one
        may bring more systems or more seeds to another.
    systems : callable
        Gives the rows, measured or not, as those of the catalogue; systems that only a folder
        knows come after them.
    reasons : mapping, optional
        Why a system has no result: by protocol, or `every protocol`, then by title.

    Raises
    ------
    UsageError
        If a folder is no comparison, or folders of one protocol cannot stand in one block.
    DataError
        If a folder contradicts itself.
    """
    if not folders:
        raise UsageError("a leaderboard needs at least one folder of a comparison")
    by_protocol: dict[str, list[Any]] = {}
    for path in folders:
        folder = read_folder(path)
        by_protocol.setdefault(folder.table["protocol"], []).append(folder)
    joined = {label: join(own) for label, own in by_protocol.items()}
    known = {label: systems(Protocol(name=base_name(label))) for label in joined}
    any_known = {title: system for own in known.values() for title, system in own.items()}
    titles = list(any_known)
    for block in joined.values():
        titles += [title for title in block.rows if title not in titles]
    reasons = reasons or {}
    _require_titles(reasons, titles)
    rows = {title: row for block in joined.values() for title, row in block.rows.items()}
    return Leaderboard(
        systems=tuple(_system(title, any_known.get(title), rows.get(title)) for title in titles),
        blocks=tuple(
            _block(label, joined[label], titles, known[label], reasons)
            for label in sorted(joined, key=trust)
        ),
    )


def read_reasons(path: Path) -> Reasons:
    """Read a YAML file of reasons: `protocol: {title: sentence}`.

    Raises
    ------
    UsageError
        If it is not that, or names an unknown protocol.
    """
    if not path.is_file():
        raise UsageError(f"there is no file of reasons {path}")
    found = load_yaml(path) or {}
    shaped = isinstance(found, dict) and all(
        isinstance(own, dict) and all(isinstance(text, str) for text in own.values())
        for own in found.values()
    )
    if not shaped:
        raise UsageError(f"{path}: write reasons as `protocol: {{title: sentence}}`")
    for label in found:
        if label != EVERYWHERE:
            Protocol(name=base_name(str(label))).require_known()
    return found


def _require_titles(reasons: Reasons, titles: Sequence[str]) -> None:
    for label, own in reasons.items():
        for title in own:
            if title not in titles:
                raise UsageError(f"reasons: {label}: no system has the title {title!r}")


def _system(title: str, own: SystemConfig | None, row: Mapping[str, Any] | None) -> System:
    if own is not None:
        name, preset, config = own.model, own.preset, own.config
    else:
        assert row is not None  # a title comes from the catalogue or from a folder
        name, preset, config = row["model"], row["preset"], row["config"]
    try:
        model = build_model(name, preset, config)
    except UsageError:  # a plug-in that this machine does not have, or has in another version
        return System(title, name, "unknown", None, own is not None)
    alone = model.get_config().get("markets") == "target"
    family: str = model.family
    if family == "single or merged":
        family = "single" if alone else "merged"
    uses_sources = model.uses_sources and not alone
    return System(title, name, family, uses_sources, own is not None)


def _block(
    label: str,
    joined: Joined,
    titles: Sequence[str],
    known: Mapping[str, SystemConfig],
    reasons: Reasons,
) -> Block:
    table, markets = joined.folders[0].table, list(joined.folders[0].table["users"])
    reference = table["reference"]
    standings = {
        metric: Standings(joined.per_user, metric, markets, reference) for metric in joined.metrics
    }
    cells = {metric: own.cells() for metric, own in standings.items()}
    ranks = {metric: own.ranks() for metric, own in standings.items()}
    all_seeds = tuple(int(seed) for seed in joined.candidates)

    def entry(title: str) -> Entry:
        if title not in joined.rows:
            given = reasons.get(label, {}).get(title) or reasons.get(EVERYWHERE, {}).get(title)
            return Entry(title, given or f"not measured under {label} yet")
        seeds, row = standings[joined.metrics[0]].seeds[title], joined.rows[title]
        costs = joined.costs.get(title, {})
        return Entry(
            title=title,
            seeds=seeds,
            notes=tuple(_notes(seeds, all_seeds, row, known.get(title))),
            cells={metric: cells[metric][title] for metric in joined.metrics},
            rank={metric: ranks[metric][title] for metric in joined.metrics},
            trainable={market: row["trainable"][market] for market in markets},
            seconds=costs.get("seconds"),
            cpu_seconds=costs.get("cpu_seconds"),
        )

    tables = [folder.table for folder in joined.folders]
    kind = KINDS.get(guide_key(label))
    counted = joined.per_user.filter(system=reference).group_by("market", "seed").len()
    users = {market: counted.filter(market=market)["len"].mean() for market in markets}
    return Block(
        protocol=label,
        summary=kind.summary if kind else "",
        data=table["data"],
        candidates=joined.candidates,
        users={market: round(float(str(number))) for market, number in users.items()},
        metrics=joined.metrics,
        reference=reference,
        names=tuple(dict.fromkeys(own["name"] for own in tables)),
        commits=tuple(dict.fromkeys(own["commit"] for own in tables if own["commit"])),
        entries=tuple(entry(title) for title in titles),
    )


def _notes(
    seeds: Sequence[int],
    all_seeds: Sequence[int],
    row: Mapping[str, Any],
    known: SystemConfig | None,
) -> Iterator[str]:
    """What sets a result apart from those around it."""
    if len(seeds) < len(all_seeds):
        yield f"{len(seeds)} of {len(all_seeds)} seeds"
    if known is None:
        return
    try:
        ran, meant = (
            dict(_flat(build_model(model, preset, config).get_config()))
            for model, preset, config in (
                (row["model"], row["preset"], row["config"]),
                (known.model, known.preset, known.config),
            )
        )
    except UsageError:
        yield "settings that this version does not know"
        return
    fields = [name for name in ran | meant if ran.get(name) != meant.get(name)]
    epochs = [name for name in fields if name.endswith("epochs")]
    for name in [*epochs, *(name for name in fields if name not in epochs)]:
        yield f"{name} {ran.get(name)}, catalogue {meant.get(name)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
