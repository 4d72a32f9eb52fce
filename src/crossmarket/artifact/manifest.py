"""The lists of all files with their hashes: one of the whole artifact, one of each market.

A manifest carries the hash of itself (of all its other fields) and has one allowed rendering, so
that no byte of it can change unnoticed. A market's manifest is bound to the backbone by hash, and
the manifest of the artifact to the manifest of each market.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crossmarket.artifact.folders import Folder, parse_json, render_json
from crossmarket.errors import DataError, UsageError
from crossmarket.files import content_hash

FORMAT = "crossmarket-artifact"
VERSION = 1
MANIFEST, BACKBONE, MARKETS = "manifest.json", "backbone", "markets"
#: Names that a market of an artifact may have; they are names of folders and parts of addresses.
MARKET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")

MANIFEST_LIMIT = 1 << 24
_HASH = r"^[0-9a-f]{64}$"


class FileRecord(BaseModel):
    """A file as it was written: SHA-256 (hex) and bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: str = Field(pattern=_HASH)
    size: int = Field(ge=0)

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Describe a file's bytes."""
        return cls(sha256=hashlib.sha256(content).hexdigest(), size=len(content))

    def matches(self, content: bytes) -> bool:
        """Whether these are the bytes that were written."""
        return self == FileRecord.of(content)


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: str = FORMAT
    version: int = VERSION

    def render(self) -> bytes:
        """The file's bytes."""
        values = self.model_dump(mode="json")
        return render_json({**values, "sha256": content_hash(values)})

    @classmethod
    def parse(cls, content: bytes, place: str) -> Self:
        """Read a manifest.

        Raises
        ------
        DataError
            If it is damaged, or was written by a newer program.
        """
        values = parse_json(content, place)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise DataError(f"{place} describes no artifact; make one with `crossmarket package`")
        version = values.get("version")
        if isinstance(version, int) and version > VERSION:
            raise DataError(
                f"{place} is of format {version}, this program reads up to {VERSION}; "
                "upgrade crossmarket to read it"
            )
        try:
            manifest = cls.model_validate({k: v for k, v in values.items() if k != "sha256"})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise DataError(f"{place} is damaged at {where!r}: {first['msg'].lower()}") from error
        if manifest.version != VERSION or manifest.render() != content:
            raise DataError(f"{place} was changed after it was written; package the run again")
        return manifest

    @classmethod
    def read(cls, folder: Folder) -> Self:
        """Read the manifest of an open folder."""
        return cls.parse(folder.read(MANIFEST, limit=MANIFEST_LIMIT), f"{folder.label}/{MANIFEST}")


class MarketManifest(_Manifest):
    """What a market's folder holds.

    Attributes
    ----------
    market, system : str
        Whose folder, and the system that learned it.
    backbone : str
        Hash of the backbone that it belongs to.
    users, items, interactions : int
        Counts.
    files : dict of name to FileRecord
        Every file but the manifest itself.
    """

    market: str
    system: str
    backbone: str = Field(pattern=_HASH)
    users: int = Field(ge=0)
    items: int = Field(ge=0)
    interactions: int = Field(ge=0)
    files: dict[str, FileRecord]


class ArtifactManifest(_Manifest):
    """What an artifact holds and what it was made of.

    Attributes
    ----------
    run : str
        Hash of all that shaped it; artifacts with the same one replace each other.
    system : str
        Name of the system.
    settings : dict
        Protocol, seed, threads and the like of the training.
    learned_from : list of str
        Markets whose interactions were learned from, in or out of the artifact.
    retrain_due : int
        How many users were forgotten whose traces may still be in what was learned.
    data : str
        SHA-256 of the interactions of the artifact's markets, and of which were learned from.
    versions : dict of str to str
        This package, Python and libraries.
    commit : str or None
        Commit of the source tree, where it ran from one.
    backbone : dict of name to FileRecord
        Files of the backbone.
    markets : dict of market to FileRecord
        Manifest of each market.
    """

    run: str = Field(pattern=_HASH)
    system: str
    settings: dict[str, Any]
    learned_from: list[str]
    retrain_due: int = Field(ge=0)
    data: str
    versions: dict[str, str]
    commit: str | None
    backbone: dict[str, FileRecord]
    markets: dict[str, FileRecord]

    @property
    def backbone_hash(self) -> str:
        """What markets are bound to: the hash of the backbone's file hashes."""
        return backbone_hash(self.backbone)


def backbone_hash(files: Mapping[str, FileRecord]) -> str:
    """SHA-256 (hex) over names, hashes and sizes of the backbone's files."""
    return content_hash({name: record.model_dump() for name, record in files.items()})


def require_market_name(name: str) -> str:
    """Return a name that a market of an artifact may have.

    Raises
    ------
    UsageError
        If it may not.
    """
    if MARKET_NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name a market of an artifact; rename it to 1 to 32 of the "
            "characters a-z 0-9 _ -, of which the first is a letter or digit"
        )
    return name


def read_files(folder: Folder, records: Mapping[str, FileRecord]) -> dict[str, bytes]:
    """Read the files of a folder and check every byte before any is used.

    Raises
    ------
    DataError
        If a file is missing, was changed, or is one too many.
    """
    strange = folder.names() - records.keys() - {MANIFEST}
    if strange:
        raise DataError(f"{folder.label}/{min(strange)} is in no manifest; remove it")
    # Only names that the folder lists are opened, so that none leads out of it.
    missing = records.keys() - folder.names()
    if missing:
        raise DataError(f"{folder.label}/{min(missing)} is missing; package the run again")
    found = {}
    for name, record in records.items():
        found[name] = folder.read(name, size=record.size)
        if not record.matches(found[name]):
            raise DataError(f"{folder.label}/{name} was changed after it was written")
    return found
