"""An artifact in memory: a backbone and the markets that could be loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from crossmarket.artifact import golden
from crossmarket.artifact.answers import Answer
from crossmarket.artifact.folders import Folder
from crossmarket.artifact.loading import GOLDEN, Backbone, load_backbone, load_market
from crossmarket.artifact.manifest import (
    BACKBONE,
    MANIFEST,
    MANIFEST_LIMIT,
    MARKET_NAME,
    MARKETS,
    ArtifactManifest,
    FileRecord,
    MarketManifest,
    read_files,
)
from crossmarket.artifact.market import Market
from crossmarket.errors import DataError, UsageError


class Artifact:
    """A verified artifact; open one with `open` or `from_pretrained`.

    Everything is read into memory once, so files that change later change no answer.

    Attributes
    ----------
    manifest : ArtifactManifest
        What it was made of.
    backbone : Backbone
        What the markets share.
    markets : dict of str to Market
        Markets that can answer, by name.
    unavailable : dict of str to str
        Markets that cannot, and why.
    """

    def __init__(
        self,
        manifest: ArtifactManifest,
        backbone: Backbone,
        markets: Mapping[str, Market],
        unavailable: Mapping[str, str],
    ) -> None:
        self.manifest, self.backbone = manifest, backbone
        self.markets, self.unavailable = dict(markets), dict(unavailable)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Load an artifact; a market that is damaged is left out and named.

        Raises
        ------
        DataError
            If the manifest or the backbone is damaged, a file is there that no manifest lists, or
            a newer program wrote it.
        """
        with Folder.open(Path(path)) as folder:
            if MANIFEST not in folder.names():
                raise DataError(
                    f"{folder.label} is no artifact; make one with `crossmarket package`"
                )
            manifest = ArtifactManifest.read(folder)
            strange = folder.names() - {MANIFEST, BACKBONE, MARKETS}
            if strange:
                raise DataError(f"{folder.label}/{min(strange)} is in no manifest; remove it")
            with folder.inner(BACKBONE) as inner:
                files = read_files(inner, manifest.backbone)
                if MANIFEST in inner.names():
                    raise DataError(f"{inner.label}/{MANIFEST} is in no manifest; remove it")
                backbone = load_backbone(files, manifest.backbone_hash, inner.label)
            if backbone.system != manifest.system:
                raise DataError(f"{folder.label}: the backbone is not of {manifest.system!r}")
            markets, unavailable = {}, {}
            with folder.inner(MARKETS) as inner:
                for name in sorted(manifest.markets.keys() | inner.names()):
                    if MARKET_NAME.fullmatch(name) is None:
                        raise DataError(f"{inner.label} holds {name!r}, which names no market")
                    try:
                        markets[name] = _read_market(inner, name, manifest, backbone)
                    except DataError as error:
                        unavailable[name] = str(error)
        return cls(manifest, backbone, markets, unavailable)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike[str]) -> Self:
        """Load an artifact of which every market must be sound.

        Raises
        ------
        DataError
            As `open`, and for the first market that is damaged.
        """
        artifact = cls.open(path)
        for market, reason in artifact.unavailable.items():
            raise DataError(f"market {market!r} cannot be served: {reason}")
        return artifact

    def market(self, name: str) -> Market:
        """A market that can answer.

        Raises
        ------
        DataError
            If it is there but damaged.
        UsageError
            If there is none of this name.
        """
        if name in self.markets:
            return self.markets[name]
        if name in self.unavailable:
            raise DataError(f"market {name!r} cannot be served: {self.unavailable[name]}")
        known = ", ".join(self.markets) or "none"
        raise UsageError(f"this artifact has no market {name!r}; choose from: {known}")

    def recommend(self, market: str, user: str | None = None, **request: Any) -> Answer:
        """As `Market.recommend`, in a market by name."""
        return self.market(market).recommend(user, **request)


def is_artifact(path: Path) -> bool:
    """Whether a path looks like an artifact, sound or not."""
    return (path / MANIFEST).is_file() and (path / BACKBONE).is_dir()


def read_market(folder: Folder, name: str, backbone: Backbone) -> tuple[Market, MarketManifest]:
    """Load a market's open folder, verify it and replay its golden answers.

    Raises
    ------
    DataError
        If anything in it is not as it was written, or belongs to another market or backbone.
    """
    content = folder.read(MANIFEST, limit=MANIFEST_LIMIT)
    manifest = MarketManifest.parse(content, f"{folder.label}/{MANIFEST}")
    files = read_files(folder, manifest.files)
    if manifest.market != name or manifest.system != backbone.system:
        raise DataError(f"{folder.label} is of {manifest.system} for market {manifest.market!r}")
    version = FileRecord.of(content).sha256
    market = load_market(name, version, files, backbone, folder.label)
    counted = (manifest.backbone, manifest.users, manifest.items, manifest.interactions)
    if counted != (backbone.hash, len(market.users), len(market.catalogue), len(market.seen)):
        raise DataError(f"{folder.label}: the counts or the backbone of the manifest are wrong")
    if GOLDEN not in files:
        raise DataError(f"{folder.label} lacks {GOLDEN}; package the run again")
    golden.replay(market, files[GOLDEN], f"{folder.label}/{GOLDEN}")
    return market, manifest


def _read_market(
    markets: Folder, name: str, manifest: ArtifactManifest, backbone: Backbone
) -> Market:
    record = manifest.markets.get(name)
    if record is None:
        raise DataError(f"{markets.label}/{name} is in no manifest; add it with `add_market`")
    with markets.inner(name) as folder:
        if not record.matches(folder.read(MANIFEST, size=record.size)):
            raise DataError(f"{folder.label}/{MANIFEST} is not the one of this artifact")
        return read_market(folder, name, backbone)[0]
