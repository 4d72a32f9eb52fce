"""One source at a time: a target's results alone and with each other market."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl

from crossmarket.analysis.base import Setting
from crossmarket.analysis.progress import tracked
from crossmarket.data.readers import ReadResult
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import restrict
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.registry import find_model


def restricted(setting: Setting, *markets: str) -> Setting:
    """The setting with the data of some markets only.

    Its folder is one of its own: results in one folder must rank the same candidates.
    """
    names = sorted(markets)
    folder = setting.folder / "-".join(names)
    return replace(setting, data=restrict(setting.data, names), folder=folder)


def pairwise(
    setting: Setting, alone: Sequence[SystemConfig], together: Sequence[SystemConfig]
) -> pl.DataFrame:
    """Per-user NDCG@10 of each target without and with each single source, see `pairwise_users`.

    Returns
    -------
    `target, source, system, user_id, ndcg`, the mean over the seeds that test the user, sorted by
    user within a run; `source` is null where the target was alone.
    """
    runs = ["target", "source", "system"]
    return (
        pairwise_users(setting, alone, together)
        .group_by(*runs, "user_id", maintain_order=True)
        .agg(pl.col("ndcg@10").mean().alias("ndcg"))
    )


def pairwise_users(
    setting: Setting,
    alone: Sequence[SystemConfig],
    together: Sequence[SystemConfig],
    metrics: Sequence[str] = ("ndcg@10",),
) -> pl.DataFrame:
    """Per-user values of each target without and with each single source.

    Test users, catalogue and candidates of a target are the same in all its runs.

    Parameters
    ----------
    alone : sequence of SystemConfig
        Systems to train on the target alone.
    together : sequence of SystemConfig
        Systems to train on the target and one other market of the data, each in turn.
    metrics : sequence of str
        What to measure.

    Returns
    -------
    `target, source, system, seed, user_id` and the metrics, sorted by system, user and seed
    within a run; `source` is null where the target was alone.

    Raises
    ------
    UsageError
        If there is one market only, a system of `together` learns from the target alone, or the
        protocol ranks other candidates when a source is there.
    """
    _require_sources(setting, together)
    protocol = fixed_protocol(setting)
    runs: list[tuple[str, str | None]] = []
    for target in setting.markets:
        _require_same_candidates(setting, protocol, target)
        others = [market for market in setting.data.dataset.markets if market != target]
        runs += [(target, source) for source in (None, *others)]
    steps = [
        (f"{target} with {source or 'no source'}", (target, source)) for target, source in runs
    ]
    frames = []
    for target, source in tracked(setting, steps):
        systems = alone if source is None else together
        if not systems:
            continue
        own = restricted(setting, target, *([] if source is None else [source]))
        comparison = own.comparison(systems, protocol=protocol, markets=[target], metrics=metrics)
        _, per_user = comparison.run()
        frames.append(
            per_user.sort("system", "user_id", "seed").select(
                pl.lit(target).alias("target"),
                pl.lit(source, dtype=pl.String).alias("source"),
                "system",
                "seed",
                "user_id",
                *metrics,
            )
        )
    return pl.concat(frames)


def _require_sources(setting: Setting, systems: Sequence[SystemConfig]) -> None:
    if len(setting.data.dataset.markets) < 2:
        raise UsageError("there is no source: these data have one market only")
    for system in systems:
        if not find_model(system.model).uses_sources:
            raise UsageError(
                f"{system.title} learns from the target alone; choose a system that uses sources"
            )


def fixed_protocol(setting: Setting) -> Protocol:
    """The protocol; cut dates that depend on all markets stay those of all markets."""
    protocol = setting.protocol
    if protocol.name != "time-full" or protocol.cuts is not None:
        return protocol
    details = protocol.split(setting.data, setting.seeds[0]).details
    first, second = (
        datetime.fromtimestamp(details[name], UTC).isoformat()
        for name in ("valid_from", "test_from")
    )
    return protocol.model_copy(update={"cuts": (first, second)})


def _require_same_candidates(setting: Setting, protocol: Protocol, target: str) -> None:
    def candidates(data: ReadResult) -> list[str]:
        split = protocol.split(data, setting.seeds[0])
        return list(split.test.items.take(protocol.held_out(split, target).candidates))

    if candidates(setting.data) != candidates(restrict(setting.data, [target])):
        raise UsageError(
            f"{protocol.label} ranks items of all markets, so a source would change what is "
            "ranked; choose a protocol that ranks the target's own"
        )
