"""From a run to an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from crossmarket.artifact.forms import Form
from crossmarket.artifact.manifest import ArtifactManifest, require_market_name
from crossmarket.data.dataset import NO_TIME, Edges, MarketDataset
from crossmarket.errors import UsageError
from crossmarket.experiments.provenance import commit, versions
from crossmarket.experiments.run import Run
from crossmarket.files import content_hash, read_json
from crossmarket.models.base import Recommender
from crossmarket.models.registry import MODELS, find_model
from crossmarket.packaging.placing import require_place, write_artifact
from crossmarket.packaging.titles import Titles
from crossmarket.packaging.writing import (
    MarketSource,
    make_backbone,
    make_market,
    records,
    sorted_pairs,
)

#: Settings of a run that an artifact repeats.
SETTINGS = ("protocol", "seed", "threads", "device", "source_split")


def save_pretrained(run: Run, folder: Path, titles: Titles | None = None) -> None:
    """Package a fitted run: what serving its targets takes, and nothing else.

    Models that were fitted for evaluation serve from everything known of their users, as
    `Run.recommender` does. The same run gives the same bytes.

    Parameters
    ----------
    run : Run
        A run; a target that is not fitted yet is fitted first.
    folder : Path
        A new folder, or an artifact of the same run, which is replaced in one step.
    titles : mapping of market to mapping of item id to title, optional
        From `read_titles`; lists show them.

    Raises
    ------
    UsageError
        If the system has no serving form, a market's name cannot name a folder, or the folder
        holds something else.
    """
    require_packable(run.settings.model)
    for market in run.settings.targets:
        require_market_name(market)
    settings = run.settings.model_dump(mode="json", include=set(SETTINGS))
    facts = describe(run.settings.model, run.settings.config, settings, run.data.dataset)
    require_place(folder, facts.run)
    models = {market: run.recommender(market) for market in run.settings.targets}
    metrics = {market: _metrics(run, market) for market in models}
    package(folder, facts, models, run.data.dataset, metrics, titles or {})


def package(
    folder: Path,
    facts: ArtifactManifest,
    models: Mapping[str, Recommender],
    data: MarketDataset,
    metrics: Mapping[str, Mapping[str, Any] | None],
    titles: Titles,
) -> None:
    """Write fitted models of some targets as an artifact.

    Parameters
    ----------
    facts : ArtifactManifest
        What `describe` gave.
    models : mapping of market to Recommender
        Models that score from `data`.
    data : MarketDataset
        Everything known of the users.
    metrics : mapping of market to mapping or None
        What an evaluation found, where there was one.
    titles : mapping of market to mapping of item id to title
        Where there are any.
    """
    forms = {market: _form(model) for market, model in models.items()}
    config = next(iter(models.values())).get_config()
    backbone_files, backbone = make_backbone(facts.system, config, data.items, forms)
    markets = {
        name: make_market(
            market_source(model, data, forms[name], metrics.get(name), titles.get(name)), backbone
        )
        for name, model in sorted(models.items())
    }
    facts = facts.model_copy(update={"backbone": records(backbone_files)})
    write_artifact(folder, facts, backbone_files, markets)


def describe(
    system: str, config: Mapping[str, Any], settings: Mapping[str, Any], data: MarketDataset
) -> ArtifactManifest:
    """What an artifact says of its making, without backbone and markets.

    The hash of the run covers who interacted with what, but not how much or when: that is all
    that an artifact knows of its data.
    """
    made_of = [system, dict(config), dict(settings), _pairs_fingerprint(data)]
    return ArtifactManifest(
        run=content_hash(made_of),
        system=system,
        settings=dict(settings),
        learned_from=list(data.markets),
        retrain_due=0,
        data="",
        versions=versions(system),
        commit=commit(),
        backbone={},
        markets={},
    )


def market_source(
    model: Recommender,
    data: MarketDataset,
    form: Form,
    metrics: Mapping[str, Any] | None = None,
    titles: Mapping[str, str] | None = None,
) -> MarketSource:
    """What the folder of a fitted model's market is made of."""
    market, size = model.target, len(data.items)
    known, learned = data.edges(market), model.train.edges(market)
    keys = known.users.astype(np.int64) * size + known.items
    learned_keys = learned.users.astype(np.int64) * size + learned.items
    places = np.searchsorted(model.catalogue, known.items)
    return MarketSource(
        market,
        data.users(market),
        model.catalogue,
        sorted_pairs(known.users, places),
        np.isin(keys, learned_keys),
        form,
        model.get_config(),
        model.closed_form,
        metrics,
        titles or {},
    )


def require_packable(system: str) -> None:
    """Pass only a system that says how it is served.

    Raises
    ------
    UsageError
        Otherwise; the message lists those that do.
    """
    if not _is_packable(find_model(system)):
        able = ", ".join(name for name, model in MODELS.items() if _is_packable(model))
        raise UsageError(f"{system} cannot be packaged yet; these can: {able}")


def _is_packable(model: type[Recommender]) -> bool:
    return model.serving_form is not Recommender.serving_form


def _form(model: Recommender) -> Form:
    form = model.serving_form()
    if form is None:
        raise UsageError(f"{model.name} cannot be packaged with these settings")
    return form


def _pairs_fingerprint(data: MarketDataset) -> str:
    plain = {}
    for market in data.markets:
        edges = data.edges(market)
        ones = np.ones(len(edges), dtype=np.float32)
        never = np.full(len(edges), NO_TIME, dtype=np.int64)
        plain[market] = Edges(edges.users, edges.items, ones, never)
    return data.replace_edges(plain).fingerprint


def _metrics(run: Run, market: str) -> dict[str, Any] | None:
    """What the run's own evaluation found in a market, if there was one."""
    protocol = run.settings.protocol
    file = run.path / protocol.fit_label / f"{protocol.evaluation_label}.json"
    if not file.is_file():
        return None
    found = read_json(file)
    return (
        {
            "protocol": found["protocol"],
            "seed": found["seed"],
            "metrics": found["markets"][market],
            **({"alone": found["alone"]["markets"][market]} if "alone" in found else {}),
        }
        if market in found["markets"]
        else None
    )
