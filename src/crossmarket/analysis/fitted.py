"""Fitted models of a setting, for analyses that look at more than their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crossmarket.analysis.base import Setting
from crossmarket.data.splits import Split
from crossmarket.evaluation.evaluator import METRICS, evaluate_market, summarise
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.kept import read_kept_record
from crossmarket.experiments.locking import locked
from crossmarket.experiments.provenance import versions
from crossmarket.experiments.systems import SystemConfig
from crossmarket.files import content_hash, write_json
from crossmarket.models.base import Recommender
from crossmarket.models.config import merge_values
from crossmarket.models.registry import build_model


def fit_system(
    setting: Setting,
    system: SystemConfig,
    split: Split,
    target: str,
    memory: dict[str, Any] | None = None,
) -> Recommender:
    """As `Comparison.fit` in the setting, while no other process is at work in its folder."""
    with locked(setting.folder):
        return setting.comparison([system], markets=[target]).fit(system, split, target, memory)


def validation_metrics(
    model: Recommender, protocol: Protocol, split: Split, market: str
) -> dict[str, float]:
    """Means over users of a market when its validation part is ranked instead of its test part.

    Training items are masked and sampled negatives are unknown to training and validation: the
    test part plays no role. The model's epochs were chosen on the same part, so the values flatter
    it a little; they are there to choose settings by, and the test part stays unseen.

    Parameters
    ----------
    model : Recommender
        Has neither learned nor been given the validation part; see `for_validation`.
    """
    nothing = {name: split.valid.edges(name).select(slice(0, 0)) for name in split.valid.markets}
    judged = replace(split, valid=split.valid.replace_edges(nothing), test=split.valid)
    evaluation = evaluate_market(model, protocol, judged, market)
    means: dict[str, float] = summarise([evaluation], METRICS)["markets"][market]
    return means


def for_validation(protocol: Protocol) -> Protocol:
    """The protocol without what would let a model learn or see the validation part."""
    return protocol.model_copy(update={"refit": False, "history": "train"})


def remembered(
    setting: Setting,
    name: str,
    system: SystemConfig,
    seed: int,
    market: str,
    compute: Callable[[], Mapping[str, Any]],
) -> dict[str, Any]:
    """What `compute` gave for a system, seed and market; computed once for a folder.

    Parameters
    ----------
    name : str
        What is computed: the folder inside the setting's.
    """
    key = {
        "data": setting.data.dataset.fingerprint,
        "protocol": setting.protocol.label,
        "seed": seed,
        "threads": setting.threads,
        "market": market,
        "model": system.model,
        "config": build_model(system.model, system.preset, system.config).get_config(),
        "source_split": system.source_split,
        "versions": versions(system.model),
    }
    place = setting.folder / name / f"{content_hash(key)[:16]}.json"
    if not place.is_file():
        write_json(place, {"key": key, "values": dict(compute())})
    values: dict[str, Any] = read_kept_record(place)["values"]
    return values


def varied(system: SystemConfig, title: str, config: Mapping[str, Any]) -> SystemConfig:
    """A system with another title and some settings changed."""
    merged = merge_values(system.config, config)
    return system.model_copy(update={"title": title, "config": merged})
