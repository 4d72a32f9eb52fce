"""Taking a user out of an artifact, and saying honestly what that does not undo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.numpy import load

from crossmarket.artifact import golden
from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.folders import render_json
from crossmarket.artifact.loading import (
    GOLDEN,
    METRICS,
    POPULAR_ITEMS,
    SEEN_PAIRS,
    TENSORS,
    USER_IDS,
    load_market,
)
from crossmarket.artifact.manifest import MANIFEST, MARKETS, ArtifactManifest, MarketManifest
from crossmarket.artifact.market import Market
from crossmarket.artifact.tables import SEEN, USERS, popularity, table_bytes
from crossmarket.artifact.tensors import tensor_bytes
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.files import content_hash
from crossmarket.models.base import Recommender
from crossmarket.models.registry import build_model
from crossmarket.packaging.markets import stored_files
from crossmarket.packaging.package import describe, package
from crossmarket.packaging.placing import require_place, write_artifact
from crossmarket.packaging.writing import Files, records
from crossmarket.training.options import RunOptions


@dataclass(frozen=True)
class Forgotten:
    """What forgetting a user came to.

    Attributes
    ----------
    exact : bool
        Whether the artifact is, byte for byte, that of a training which never saw the user.
    sentence : str
        The same in words, with what is left to do.
    """

    exact: bool
    sentence: str


def forget(artifact: Path, market: str, user: str, out: Path) -> Forgotten:
    """Write an artifact without a user.

    The user's id, vectors, interactions and share in the popularity counts are gone, and the
    golden answers are recorded anew. A system that learns in closed form from pairs alone (EASE,
    item kNN, popularity) is learned again from the pairs that the artifact holds, if it holds all
    markets that were learned from: the result is then the artifact of a training that never saw
    the user. Otherwise what other users and items learned from the user stays, and the manifest
    counts the user in `retrain_due`.

    Parameters
    ----------
    artifact : Path
        The artifact; it stays as it is, so delete it afterwards.
    market, user : str
        Who.
    out : Path
        A new folder.

    Raises
    ------
    UsageError
        If the market or the user is not there, the user is the market's last one, or the folder
        holds something else.
    DataError
        If the artifact is damaged.
    """
    opened = Artifact.from_pretrained(artifact)
    there = opened.market(market)
    row = there.users.row(user)
    if row < 0:
        raise UsageError(f"market {market!r} has no user {user!r}; nothing was written")
    if len(there.users) == 1:
        raise UsageError(f"{user!r} is the last user of {market!r}; remove the whole market")
    if out.resolve() == artifact.resolve():
        raise UsageError(f"{out} is the artifact itself; name a new folder")
    if _is_repeatable(opened):
        _learn_again(opened, market, row, out)
        return Forgotten(
            True,
            f"forgot the user; {out} is the artifact of a training that never saw the user",
        )
    left = _cut_out(artifact, opened, there, row, out)
    return Forgotten(
        False,
        f"forgot the user's rows, but what {opened.manifest.system} learned from them is still in "
        f"the item side ({left} due): fit again on data without the user and package that run",
    )


def _is_repeatable(artifact: Artifact) -> bool:
    """Whether the training can be repeated from the pairs that the artifact holds."""
    manifest = artifact.manifest
    protocol = Protocol.model_validate(manifest.settings["protocol"])
    return (
        all(market.closed_form for market in artifact.markets.values())
        and set(manifest.learned_from) == set(artifact.markets)
        and manifest.settings["source_split"] == "train"
        and protocol.launch_fraction is None
        and not manifest.retrain_due
    )


def _learn_again(artifact: Artifact, market: str, user: int, out: Path) -> None:
    manifest = artifact.manifest
    data, train = _pairs(artifact.markets, market, user)
    settings = manifest.settings
    options = RunOptions(settings["seed"], settings["threads"], settings["device"])
    models: dict[str, Recommender] = {}
    for name, one in artifact.markets.items():
        model = build_model(one.system, None, one.config, options)
        models[name] = model.fit(train, target=name).set_history(data)
    facts = describe(manifest.system, artifact.backbone.config, settings, data)
    require_place(out, facts.run)
    titles = {name: one.titles_by_id for name, one in artifact.markets.items()}
    package(out, facts, models, data, {}, titles)


def _pairs(
    markets: Mapping[str, Market], market: str, user: int
) -> tuple[MarketDataset, MarketDataset]:
    """All pairs but a user's, and those of them that training saw, over one vocabulary."""
    parts = []
    for name, one in markets.items():
        owners = np.repeat(np.arange(len(one.users)), np.diff(one.offsets))
        ids = pl.Series(one.item_ids, dtype=pl.String)
        part = pl.DataFrame(
            {
                "market": pl.repeat(name, len(owners), dtype=pl.String, eager=True),
                "user_id": one.users.take(owners),
                "item_id": ids.gather(one.seen),
                "learned": one.learned,
            }
        )
        parts.append(part.filter(pl.Series(owners != user)) if name == market else part)
    rows = pl.concat(parts)
    data = MarketDataset.from_frame(rows.drop("learned"))
    order = ["market", "user_id", "item_id"]
    marks = data.to_frame().select(order).join(rows, on=order, how="left", maintain_order="left")
    edges = {
        name: data.edges(name).select(part["learned"].to_numpy())
        for (name,), part in marks.partition_by("market", as_dict=True).items()
    }
    return data, data.replace_edges(edges)


def _cut_out(path: Path, artifact: Artifact, market: Market, user: int, out: Path) -> int:
    """Drop a user's rows from one market; returns how many users are now due for retraining."""
    manifest, backbone, markets = stored_files(path)
    run = content_hash([manifest.run, "forgotten", manifest.retrain_due + 1, market.name])
    require_place(out, run)
    markets[market.name] = _without_user(markets[market.name], artifact, market, user)
    changed = manifest.model_copy(update={"run": run, "retrain_due": manifest.retrain_due + 1})
    write_artifact(out, ArtifactManifest.model_validate(changed), backbone, markets)
    return changed.retrain_due


def _without_user(files: Files, artifact: Artifact, market: Market, user: int) -> Files:
    owners = np.repeat(np.arange(len(market.users)), np.diff(market.offsets))
    kept = owners != user
    owners = owners[kept] - (owners[kept] > user)
    items, learned = market.seen[kept], market.learned[kept]
    ids = market.users.take(np.delete(np.arange(len(market.users)), user))
    seen = {"user": owners.astype(np.int32), "item": items, "learned": learned}
    changed = {
        **{name: files[name] for name in files if name not in (MANIFEST, METRICS, GOLDEN)},
        USER_IDS: table_bytes(pl.DataFrame({"user_id": ids}, schema=USERS)),
        SEEN_PAIRS: table_bytes(pl.DataFrame(seen, schema=SEEN)),
        POPULAR_ITEMS: table_bytes(popularity(items, len(market.catalogue))),
    }
    if TENSORS["users"] in files:
        # Every tensor of this file has a row for each user.
        tensors = load(files[TENSORS["users"]])
        rows = {name: np.delete(tensor, user, axis=0) for name, tensor in tensors.items()}
        changed[TENSORS["users"]] = tensor_bytes(rows)
    place = f"{MARKETS}/{market.name}"
    again = load_market(market.name, "", dict(changed), artifact.backbone, place)
    changed[GOLDEN] = render_json(golden.record(again))
    before = MarketManifest.parse(files[MANIFEST], place)
    counts = {"users": len(ids), "interactions": len(items), "files": records(changed)}
    return {**changed, MANIFEST: before.model_copy(update=counts).render()}
