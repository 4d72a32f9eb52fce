"""Putting the files of an artifact in place, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from crossmarket.artifact.artifact import is_artifact
from crossmarket.artifact.folders import Folder
from crossmarket.artifact.loading import CATALOGUE, SEEN_PAIRS, USER_IDS
from crossmarket.artifact.manifest import (
    BACKBONE,
    MANIFEST,
    MARKETS,
    ArtifactManifest,
    MarketManifest,
)
from crossmarket.errors import DataError, UsageError
from crossmarket.files import content_hash, replace_folder, sync_folder, write_bytes
from crossmarket.packaging.writing import Files, records


def data_hash(markets: Mapping[str, MarketManifest]) -> str:
    """SHA-256 (hex) of the users, items and interactions of an artifact's markets."""
    tables = (USER_IDS, CATALOGUE, SEEN_PAIRS)
    return content_hash(
        {name: [one.files[table].sha256 for table in tables] for name, one in markets.items()}
    )


def with_markets(manifest: ArtifactManifest, markets: Mapping[str, bytes]) -> ArtifactManifest:
    """The manifest of an artifact with these manifests of markets, by name."""
    parsed = {name: MarketManifest.parse(content, name) for name, content in markets.items()}
    return manifest.model_copy(update={"markets": records(markets), "data": data_hash(parsed)})


def write_artifact(
    target: Path, manifest: ArtifactManifest, backbone: Files, markets: Mapping[str, Files]
) -> None:
    """Write an artifact beside its place and move it there whole; `manifest.json` comes last.

    Raises
    ------
    UsageError
        If something is there that is no artifact of the same run.
    """
    place = require_place(target, manifest.run)
    whole = with_markets(manifest, {name: files[MANIFEST] for name, files in markets.items()})

    def fill(folder: Path) -> None:
        (folder / MARKETS).mkdir()
        for name, content in backbone.items():
            write_bytes(folder / BACKBONE / name, content)
        for market, files in markets.items():
            # The dictionary ends with the market's manifest.
            for name, content in files.items():
                write_bytes(folder / MARKETS / market / name, content)
        sync_folder(folder / MARKETS)
        write_bytes(folder / MANIFEST, whole.render())

    replace_folder(place, fill)


def require_place(target: Path, run: str) -> Path:
    """Where an artifact of a run may be written: nothing is there, or one of the same run.

    Raises
    ------
    UsageError
        Otherwise.
    """
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise UsageError(f"{target} is no folder; choose a new one for the artifact")
    if target.is_dir() and any(target.iterdir()):
        if not is_artifact(target):
            raise UsageError(f"{target} holds something else; choose a new folder")
        try:
            with Folder.open(target) as folder:
                there = ArtifactManifest.read(folder).run
        except DataError as error:
            raise UsageError(f"{target} is a damaged artifact; remove it first") from error
        if there != run:
            raise UsageError(f"{target} is an artifact of another run; choose a new folder")
    return target.resolve()
