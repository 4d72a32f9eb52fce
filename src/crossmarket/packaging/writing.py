"""The files of an artifact as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossmarket.artifact import golden
from crossmarket.artifact.folders import render_json
from crossmarket.artifact.forms import Form
from crossmarket.artifact.loading import (
    ADAPTER,
    CATALOGUE,
    CONFIG,
    GOLDEN,
    ITEM_IDS,
    ITEM_TITLES,
    METRICS,
    MODEL,
    POPULAR_ITEMS,
    SEEN_PAIRS,
    TENSORS,
    USER_IDS,
    Backbone,
    load_backbone,
    load_market,
)
from crossmarket.artifact.manifest import (
    BACKBONE,
    MANIFEST,
    MARKETS,
    FileRecord,
    MarketManifest,
    backbone_hash,
    require_market_name,
)
from crossmarket.artifact.tables import ITEMS, SEEN, TITLES, USERS, popularity, table_bytes
from crossmarket.artifact.tensors import Arrays, tensor_bytes
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import CrossmarketError

#: Paths within an artifact and their bytes; those of markets as `MARKET/FILE`.
Files = dict[str, bytes]


@dataclass(frozen=True)
class MarketSource:
    """What a market's folder is made of.

    Attributes
    ----------
    name : str
        Which market.
    users : Vocabulary
        Its user ids.
    catalogue : int32 [m]
        Sorted item rows that it sells.
    pairs : int [n, 2]
        User rows and places in the catalogue of all that is known, sorted.
    learned : bool [n]
        Whether training saw the pair.
    form : Form
        Scores, made with this very history.
    config : dict
        Settings of the system.
    closed_form : bool
        Whether it learns from the pairs alone.
    metrics : dict or None
        What an evaluation found.
    titles : mapping of str to str
        Titles by item id, where it has any; of items it does not sell, too.
    """

    name: str
    users: Vocabulary
    catalogue: NDArray[np.int32]
    pairs: NDArray[np.int64]
    learned: NDArray[np.bool_]
    form: Form
    config: Mapping[str, Any]
    closed_form: bool = False
    metrics: Mapping[str, Any] | None = None
    titles: Mapping[str, str] = field(default_factory=dict)


def make_backbone(
    system: str, config: Mapping[str, Any], items: Vocabulary, forms: Mapping[str, Form]
) -> tuple[Files, Backbone]:
    """The backbone's files, and what a reader makes of them.

    Raises
    ------
    CrossmarketError
        If markets differ in what they say they share.
    """
    shared = {name: dict(form.tensors().get("backbone", {})) for name, form in forms.items()}
    tensors: Arrays = next(iter(shared.values()))
    content = tensor_bytes(tensors)
    for name, others in shared.items():
        if tensor_bytes(others) != content:
            raise CrossmarketError(f"the backbone of market {name!r} differs from the others'")
    files = {
        CONFIG: render_json({"system": system, "config": dict(config)}),
        ITEM_IDS: table_bytes(pl.DataFrame({"item_id": items.ids}, schema=ITEMS)),
        MODEL: content,
    }
    return files, load_backbone(files, backbone_hash(records(files)), BACKBONE)


def make_market(source: MarketSource, backbone: Backbone) -> Files:
    """The files of a market's folder, its manifest among them, with golden answers recorded.

    They are loaded as a server would load them, so that nothing is written that cannot be read.

    Raises
    ------
    UsageError
        If the market's name cannot name a folder.
    DataError
        If the parts do not fit each other: a tensor is not finite, say.
    """
    name = require_market_name(source.name)
    sold = backbone.items.take(source.catalogue)
    users, items = source.pairs[:, 0], source.pairs[:, 1].astype(np.int32)
    seen = {"user": users.astype(np.int32), "item": items, "learned": source.learned}
    adapter = {
        "market": name,
        "system": backbone.system,
        "backbone": backbone.hash,
        "kind": source.form.kind,
        "form": source.form.facts(),
        "config": dict(source.config),
        "closed_form": source.closed_form,
    }
    files = {
        ADAPTER: render_json(adapter),
        USER_IDS: table_bytes(pl.DataFrame({"user_id": source.users.ids}, schema=USERS)),
        CATALOGUE: table_bytes(pl.DataFrame({"item_id": sold}, schema=ITEMS)),
        SEEN_PAIRS: table_bytes(pl.DataFrame(seen, schema=SEEN)),
        POPULAR_ITEMS: table_bytes(popularity(items, len(sold))),
    }
    tensors = source.form.tensors()
    for place, file in TENSORS.items():
        if place in tensors:
            files[file] = tensor_bytes(tensors[place])
    if source.metrics is not None:
        files[METRICS] = render_json(dict(source.metrics))
    titled = [(row, source.titles[item]) for row, item in enumerate(sold) if item in source.titles]
    if titled:
        files[ITEM_TITLES] = table_bytes(pl.DataFrame(titled, schema=TITLES, orient="row"))
    market = load_market(name, "", dict(files), backbone, f"{MARKETS}/{name}")
    files[GOLDEN] = render_json(golden.record(market))
    manifest = MarketManifest(
        market=name,
        system=backbone.system,
        backbone=backbone.hash,
        users=len(market.users),
        items=len(sold),
        interactions=len(market.seen),
        files=records(files),
    )
    return {**files, MANIFEST: manifest.render()}


def records(files: Mapping[str, bytes]) -> dict[str, FileRecord]:
    """Hash and size of each file."""
    return {name: FileRecord.of(content) for name, content in files.items()}


def sorted_pairs(
    users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]]
) -> NDArray[np.int64]:
    """Pairs of sorted edges as the rows of one array, int64 [n, 2]."""
    return np.stack([users, items], axis=1).astype(np.int64)
