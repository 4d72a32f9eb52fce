"""A market that is tuned further, or joins, over the backbone that an artifact has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.loading import MODEL, TENSORS
from crossmarket.artifact.manifest import require_market_name
from crossmarket.data.dataset import NO_TIME, Edges, MarketDataset
from crossmarket.data.splits import ratio_split
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError, UsageError
from crossmarket.models.arrays import FloatMatrix
from crossmarket.models.config import merge_values
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.models.dcmpt.continued import ContinuedDCMPT
from crossmarket.packaging.markets import put_market, stored_files
from crossmarket.packaging.package import market_source
from crossmarket.packaging.writing import make_market
from crossmarket.training.options import RunOptions


@dataclass(frozen=True)
class Tuned:
    """What tuning a market came to.

    Attributes
    ----------
    version : str
        Hash of the market's new manifest.
    users, new_users : int
        Users of the market; how many of them the backbone has no row of.
    unknown_items : list of str
        Items of the data that the backbone does not know; they cannot be recommended.
    best_epoch : int
        Epoch whose prompts were kept; 0 are those it started from.
    """

    version: str
    users: int
    new_users: int
    unknown_items: list[str]
    best_epoch: int


def tune_market(
    artifact: Path,
    data: MarketDataset,
    market: str,
    *,
    config: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
) -> Tuned:
    """Tune a market's prompts on its data alone, over an artifact's frozen backbone.

    A market that the artifact has goes on from its prompts, unless their number changes; another
    one starts afresh and joins. Neither the backbone nor any other market changes by a byte, and
    no other market's data are needed: prompts travel through the market's own graph, and a user
    that the backbone does not know has a row of zeros, so that all of its vector comes from items
    and prompts. A tenth of the interactions decides when tuning stops; lists are made from all.

    Parameters
    ----------
    artifact : Path
        An artifact of DCMPT; it is changed in one step at the end.
    data : MarketDataset
        All interactions of the market; other markets in it are not read.
    market : str
        Which market.
    config : mapping, optional
        Changes of the settings of DCMPT.
    options : RunOptions, optional
        Seed, threads.

    Raises
    ------
    UsageError
        If the artifact has no backbone to tune over, or a name cannot name a market.
    DataError
        If the artifact is damaged, or the backbone knows none of the items.
    """
    require_market_name(market)
    data.require_market(market)
    opened = Artifact.open(artifact)
    _, backbone_files, files = stored_files(artifact)
    items = load(backbone_files[MODEL]).get("layer0")
    if opened.backbone.system != ContinuedDCMPT.name or items is None:
        raise UsageError(f"{artifact} has no frozen backbone to tune over; package a DCMPT run")
    whole, unknown = _over_backbone(data, market, opened.backbone.items)
    there = opened.markets.get(market)
    settings = opened.backbone.config if there is None else there.config
    settings = merge_values(merge_values(settings, config or {}), {"graph": "target"})
    parsed = DCMPTConfig.model_validate(settings)
    if parsed.prompt == "none":
        raise UsageError("without prompts there is nothing to tune; set prompt=attention")
    users = np.zeros((len(whole.users(market)), items.shape[1]), dtype=np.float32)
    new_users, prompts = len(users), None
    if there is not None:
        places = there.users.rows(whole.users(market).ids)
        rows = load(files[market][TENSORS["users"]])["layer0"]
        users[places >= 0] = rows[places[places >= 0]]
        new_users = int(np.sum(places < 0))
        prompts = _prompts(load(files[market][TENSORS["adapter"]]), parsed)
    chosen = options or RunOptions()
    split = ratio_split(whole, seed=chosen.seed)
    model = ContinuedDCMPT(parsed, chosen, users, items, prompts)
    model.fit(split.train, target=market, valid=split.valid).set_history(whole)
    titles = {} if there is None else there.titles_by_id
    source = market_source(model, whole, model.serving_form(), titles=titles)
    content = make_market(source, opened.backbone)
    put_market(artifact, market, content)
    version = Artifact.open(artifact).market(market).version
    return Tuned(version, len(users), new_users, unknown, model.best_epoch)


def _over_backbone(
    data: MarketDataset, market: str, items: Vocabulary
) -> tuple[MarketDataset, list[str]]:
    """One market's pairs over the items of a backbone, and the items it does not know."""
    frame = data.select_markets([market]).to_frame()
    rows = items.rows(frame["item_id"])
    unknown = frame.filter(pl.Series(rows < 0))["item_id"].unique().sort().to_list()
    frame, rows = frame.filter(pl.Series(rows >= 0)), rows[rows >= 0]
    if frame.is_empty():
        raise DataError(f"the backbone knows none of the items of market {market!r}")
    users = Vocabulary(frame["user_id"])
    owners = users.rows(frame["user_id"])
    order = np.lexsort((rows, owners))
    times = frame["timestamp"].fill_null(NO_TIME).to_numpy()[order]
    edges = Edges(owners[order], rows[order], frame["weight"].to_numpy()[order], times)
    return MarketDataset(
        items, {market: users}, {market: edges}, {market: np.unique(rows)}
    ), unknown


def _prompts(
    stored: Mapping[str, FloatMatrix], config: DCMPTConfig
) -> dict[str, FloatMatrix] | None:
    """The stored prompts where they are as many as the settings ask for."""
    wanted = config.num_prompts * (2 if config.split_banks else 1)
    wanted = 1 if config.prompt == "global" else wanted
    return dict(stored) if len(stored["basis"]) == wanted else None
