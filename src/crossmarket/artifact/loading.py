"""Making a market out of the bytes of its files, with every fact checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossmarket.artifact.folders import parse_json
from crossmarket.artifact.forms import FORMS
from crossmarket.artifact.forms.base import MarketShape, Place
from crossmarket.artifact.market import Market
from crossmarket.artifact.tables import (
    ITEMS,
    POPULAR,
    SEEN,
    TITLES,
    USERS,
    popularity,
    read_ids,
    read_table,
)
from crossmarket.artifact.tensors import Tensors
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError

CONFIG, MODEL, ITEM_IDS = "config.json", "model.safetensors", "items.parquet"
BACKBONE_FILES = (CONFIG, MODEL, ITEM_IDS)

ADAPTER, USER_IDS, CATALOGUE = "adapter_config.json", "users.parquet", "catalog.parquet"
SEEN_PAIRS, POPULAR_ITEMS = "seen.parquet", "popular.parquet"
GOLDEN, METRICS, ITEM_TITLES = "golden.json", "metrics.json", "titles.parquet"
#: Files of tensors by whose they are; a file without tensors is not written.
TENSORS: Mapping[Place, str] = {
    "adapter": "adapter_model.safetensors",
    "users": "users.safetensors",
    "items": "items.safetensors",
}
_REQUIRED = {ADAPTER, USER_IDS, CATALOGUE, SEEN_PAIRS, POPULAR_ITEMS}
MARKET_FILES = frozenset(_REQUIRED | {GOLDEN, METRICS, ITEM_TITLES} | set(TENSORS.values()))

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Backbone:
    """What all markets share; it carries no user.

    Attributes
    ----------
    hash : str
        What markets are bound to.
    system : str
        Who learned it.
    config : dict
        The system's whole configuration.
    items : Vocabulary
        Item ids of all markets.
    tensors : Tensors
        Frozen tables, shared vectors or weights; each market takes them out once.
    """

    hash: str
    system: str
    config: dict[str, Any]
    items: Vocabulary
    tensors: Tensors


def load_backbone(files: Files, own_hash: str, label: str) -> Backbone:
    """Make the backbone out of its files.

    Raises
    ------
    DataError
        If one is missing or wrong.
    """
    _require_names(files, set(BACKBONE_FILES), set(BACKBONE_FILES), label)
    config = _object(files[CONFIG], {"system": str, "config": dict}, f"{label}/{CONFIG}")
    items = read_ids(files[ITEM_IDS], ITEMS, f"{label}/{ITEM_IDS}")
    tensors = Tensors(files[MODEL], f"{label}/{MODEL}")
    return Backbone(own_hash, config["system"], config["config"], items, tensors)


def load_market(
    name: str, version: str, files: dict[str, bytes], backbone: Backbone, label: str
) -> Market:
    """Make a market out of its files.

    Parameters
    ----------
    name, version : str
        Which market, and the hash of its manifest.
    files : dict of name to bytes
        All its files but the manifest; those of tensors are taken out as they are read, so that
        memory holds them once.
    backbone : Backbone
        What it belongs to.
    label : str
        The folder in messages.

    Raises
    ------
    DataError
        If a file is missing or wrong, or they do not fit each other.
    """
    _require_names(files, _REQUIRED, MARKET_FILES, label)
    place = f"{label}/{ADAPTER}"
    fields = {"market": str, "system": str, "backbone": str, "kind": str, "form": dict}
    adapter = _object(files[ADAPTER], fields | {"config": dict, "closed_form": bool}, place)
    if adapter["market"] != name or adapter["system"] != backbone.system:
        raise DataError(f"{place} belongs to another market or system")
    if adapter["backbone"] != backbone.hash:
        raise DataError(
            f"{label} was made for another backbone ({adapter['backbone'][:12]}, "
            f"not {backbone.hash[:12]}); package the market with this one"
        )
    if adapter["kind"] not in FORMS:
        raise DataError(f"{place}: there is no form {adapter['kind']!r}")
    users = read_ids(files[USER_IDS], USERS, f"{label}/{USER_IDS}")
    sold = read_ids(files[CATALOGUE], ITEMS, f"{label}/{CATALOGUE}")
    catalogue = backbone.items.rows(sold.ids)
    if np.any(catalogue < 0):
        raise DataError(f"{label}/{CATALOGUE} sells an item that the backbone does not know")
    offsets, seen, learned = _read_seen(files, len(users), len(sold), label)
    tensors: dict[Place, Tensors] = {"backbone": backbone.tensors.again()}
    for whose, file in TENSORS.items():
        if file in files:
            tensors[whose] = Tensors(files.pop(file), f"{label}/{file}")
    shape = MarketShape(catalogue, len(users), len(backbone.items))
    try:
        form = FORMS[adapter["kind"]].restore(adapter["form"], tensors, shape)
    except KeyError as error:
        raise DataError(f"{label} lacks the file of the tensors of {error}") from error
    for part in tensors.values():
        part.finish()
    return Market(
        name,
        version,
        backbone.hash,
        backbone.system,
        backbone.items,
        users,
        catalogue,
        offsets,
        seen,
        learned,
        form,
        adapter["config"],
        adapter["closed_form"],
        _read_metrics(files, label),
        _read_titles(files, len(sold), label),
    )


def _read_metrics(files: Files, label: str) -> dict[str, Any] | None:
    if METRICS not in files:
        return None
    values = parse_json(files[METRICS], f"{label}/{METRICS}")
    if not isinstance(values, dict):
        raise DataError(f"{label}/{METRICS} does not have the fields it must have")
    return values


def _read_titles(files: Files, num_items: int, label: str) -> dict[int, str]:
    if ITEM_TITLES not in files:
        return {}
    place = f"{label}/{ITEM_TITLES}"
    table = read_table(files[ITEM_TITLES], TITLES, place)
    items = table["item"].to_numpy()
    inside = not len(items) or (items[0] >= 0 and items[-1] < num_items)
    if not inside or np.any(np.diff(items) <= 0):
        raise DataError(f"{place} does not hold items of the market in order")
    return dict(zip(items.tolist(), table["title"].to_list(), strict=True))


def _read_seen(
    files: Files, num_users: int, num_items: int, label: str
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    place = f"{label}/{SEEN_PAIRS}"
    table = read_table(files[SEEN_PAIRS], SEEN, place)
    users, items = (table[name].to_numpy().astype(np.int64) for name in ("user", "item"))
    inside = not len(users) or (
        min(users.min(), items.min()) >= 0 and users.max() < num_users and items.max() < num_items
    )
    if not inside or np.any(np.diff(users * num_items + items) <= 0):
        raise DataError(f"{place} does not hold pairs of the market in order")
    counts = read_table(files[POPULAR_ITEMS], POPULAR, f"{label}/{POPULAR_ITEMS}")
    if not counts.equals(popularity(items.astype(np.int32), num_items)):
        raise DataError(f"{label}/{POPULAR_ITEMS} does not count the pairs of {SEEN_PAIRS}")
    offsets = np.concatenate([[0], np.cumsum(np.bincount(users, minlength=num_users))])
    return offsets.astype(np.int64), items.astype(np.int32), table["learned"].to_numpy()


def _require_names(
    files: Files, required: set[str], allowed: frozenset[str] | set[str], label: str
) -> None:
    missing, strange = required - files.keys(), files.keys() - allowed
    if missing or strange:
        said = f"lacks {min(missing)}" if missing else f"must not hold {min(strange)}"
        raise DataError(f"{label} {said}; package the run again")


def _object(content: bytes, fields: Mapping[str, type], place: str) -> dict[str, Any]:
    values = parse_json(content, place)
    if not isinstance(values, dict) or values.keys() != fields.keys():
        raise DataError(f"{place} does not have the fields it must have")
    for name, kind in fields.items():
        if not isinstance(values[name], kind):
            raise DataError(f"{place}: {name!r} is not of the kind it must be")
    return values
