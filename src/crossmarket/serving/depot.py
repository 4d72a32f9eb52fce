"""The folder that markets are swapped in from; everything below it is met by name, never by path.

It holds market folders as `package` writes them (`ARTIFACT/markets/uk`), under any names, and the
service's own `state.json` and `audit.jsonl`.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from crossmarket.artifact.artifact import read_market
from crossmarket.artifact.folders import Folder
from crossmarket.artifact.loading import Backbone
from crossmarket.artifact.manifest import MANIFEST, MANIFEST_LIMIT
from crossmarket.artifact.market import Market
from crossmarket.errors import DataError, UsageError

FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_WARM_UP = 100


class Depot:
    """Reads and verifies market folders.

    Parameters
    ----------
    path : Path
        An existing folder; links to it are followed, in it they are not.

    Raises
    ------
    UsageError
        If it is no folder.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise UsageError(f"{path} is no folder; make it and put market folders in")
        self.path = path.resolve()

    def folder_of(self, version: str) -> str:
        """Name of the folder with a market of a version; the first of several.

        Raises
        ------
        LookupError
            If there is none.
        """
        with Folder.open(self.path) as whole:
            names = sorted(filter(FOLDER_NAME.fullmatch, whole.names()))
        for name in names:
            try:
                if self.version_of(name) == version:
                    return name
            except LookupError:  # a file of another kind
                continue
        raise LookupError(version)

    def version_of(self, name: str) -> str:
        """Version of the market in a folder, before anything of it is verified.

        Raises
        ------
        LookupError
            If the depot has no market folder of this name.
        """
        with Folder.open(self.path) as whole:
            if FOLDER_NAME.fullmatch(name) is None or name not in whole.names():
                raise LookupError(name)
            try:
                with whole.inner(name) as inner:
                    content = inner.read(MANIFEST, limit=MANIFEST_LIMIT)
            except DataError as error:
                raise LookupError(name) from error
        return hashlib.sha256(content).hexdigest()

    def load(self, name: str, market: str, backbone: Backbone) -> Market:
        """Load a folder, verify it, replay its golden answers and warm it up.

        Raises
        ------
        LookupError
            If the depot has no folder of this name.
        DataError
            If it is damaged, or belongs to another market or backbone.
        """
        self.version_of(name)
        with Folder.open(self.path) as whole, whole.inner(name) as inner:
            loaded, _ = read_market(inner, market, backbone)
        warm_up(loaded)
        return loaded


def warm_up(market: Market) -> None:
    """Ask what users will ask, so that the first of them does not wait."""
    for user in market.users.ids.gather_every(max(len(market.users) // _WARM_UP, 1)):
        market.recommend(user)
    market.recommend()
    if market.item_ids and market.form.score_like(0) is not None:
        market.similar(market.item_ids[0])
