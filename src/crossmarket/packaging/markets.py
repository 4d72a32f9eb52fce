"""Markets of an artifact that come and go alone; no other market's bytes change."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from crossmarket.artifact.artifact import read_market
from crossmarket.artifact.folders import Folder
from crossmarket.artifact.loading import load_backbone
from crossmarket.artifact.manifest import (
    BACKBONE,
    MANIFEST,
    MANIFEST_LIMIT,
    MARKETS,
    ArtifactManifest,
    MarketManifest,
    read_files,
    require_market_name,
)
from crossmarket.errors import DataError, UsageError
from crossmarket.files import replace_folder, sync_folder, write_bytes
from crossmarket.packaging.placing import with_markets
from crossmarket.packaging.writing import Files


def add_market(artifact: Path, folder: Path) -> str:
    """Put a market's folder into an artifact, in place of the one of that name if there is one.

    The market is verified as a server would verify it, against this artifact's backbone. Files of
    other markets are linked, not written again; the artifact changes in one step.

    Parameters
    ----------
    artifact : Path
        The artifact.
    folder : Path
        A market's folder, of another artifact over the same backbone, say.

    Returns
    -------
    The market's name.

    Raises
    ------
    DataError
        If the folder is damaged or belongs to another backbone, or the artifact is damaged.
    """
    with Folder.open(folder) as opened:
        manifest = MarketManifest.read(opened)
        name = require_market_name(manifest.market)
        with Folder.open(artifact) as whole, whole.inner(BACKBONE) as inner:
            own = ArtifactManifest.read(whole)
            files = read_files(inner, own.backbone)
            backbone = load_backbone(files, own.backbone_hash, inner.label)
        _, manifest = read_market(opened, name, backbone)
        content = read_files(opened, manifest.files)
    put_market(artifact, name, {**content, MANIFEST: manifest.render()})
    return name


def put_market(artifact: Path, name: str, files: Files) -> None:
    """Put the files of a market, verified and with their manifest, into an artifact."""
    with Folder.open(artifact) as whole:
        own = ArtifactManifest.read(whole)
    own = own.model_copy(update={"learned_from": sorted({*own.learned_from, name})})
    _rewrite(artifact, own, {name: files}, gone=set())


def remove_market(artifact: Path, market: str) -> None:
    """Take a market out of an artifact, damaged or not.

    Raises
    ------
    UsageError
        If the artifact has no such market.
    """
    with Folder.open(artifact) as whole:
        own = ArtifactManifest.read(whole)
    if market not in own.markets:
        known = ", ".join(own.markets) or "none"
        raise UsageError(f"{artifact} has no market {market!r}; it has: {known}")
    _rewrite(artifact, own, {}, gone={market})


def stored_files(artifact: Path) -> tuple[ArtifactManifest, Files, dict[str, Files]]:
    """The manifest of an artifact and the verified bytes of its backbone and its markets.

    Raises
    ------
    DataError
        If a file is missing or was changed.
    """
    with Folder.open(artifact) as whole:
        own = ArtifactManifest.read(whole)
        with whole.inner(BACKBONE) as inner:
            backbone = read_files(inner, own.backbone)
        markets = {}
        with whole.inner(MARKETS) as folder:
            for name in own.markets:
                with folder.inner(name) as inner:
                    content = _manifest_bytes(inner, own, name)
                    parsed = MarketManifest.parse(content, inner.label)
                    markets[name] = {**read_files(inner, parsed.files), MANIFEST: content}
    return own, backbone, markets


def _rewrite(
    artifact: Path, own: ArtifactManifest, changed: Mapping[str, Files], gone: set[str]
) -> None:
    """Build the changed artifact beside the old one and let them take each other's place."""
    kept = sorted(own.markets.keys() - changed.keys() - gone)
    manifests = {name: files[MANIFEST] for name, files in changed.items()}
    with Folder.open(artifact) as whole, whole.inner(MARKETS) as folder:
        for name in kept:
            with folder.inner(name) as inner:
                manifests[name] = _manifest_bytes(inner, own, name)
    manifest = with_markets(own, dict(sorted(manifests.items())))
    place = artifact.resolve()

    def fill(new: Path) -> None:
        (new / MARKETS).mkdir()
        for part in (BACKBONE, *(f"{MARKETS}/{name}" for name in kept)):
            shutil.copytree(place / part, new / part, copy_function=_link)
            sync_folder(new / part)
        for name, files in changed.items():
            for file, content in files.items():
                write_bytes(new / MARKETS / name / file, content)
        sync_folder(new / MARKETS)
        write_bytes(new / MANIFEST, manifest.render())

    replace_folder(place, fill)


def _manifest_bytes(folder: Folder, own: ArtifactManifest, name: str) -> bytes:
    content = folder.read(MANIFEST, limit=MANIFEST_LIMIT)
    if not own.markets[name].matches(content):
        raise DataError(f"{folder.label} is damaged; remove or replace market {name!r} first")
    return content


def _link(source: str, target: str) -> None:
    """Give a file a second name; the files of an artifact are never written to again."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # the file system has no links
        shutil.copyfile(source, target, follow_symlinks=False)
