"""Made-up markets in several versions, and the lists that each version must answer with."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from artifact_requests import WIDTH
from artifact_requests import make as make_one
from crossmarket.artifact.artifact import Artifact, read_market
from crossmarket.artifact.folders import Folder
from crossmarket.artifact.forms import VectorForm
from crossmarket.artifact.loading import Backbone
from crossmarket.artifact.market import Market
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.packaging.markets import add_market, remove_market
from crossmarket.packaging.writing import MarketSource, make_market, sorted_pairs
from service import Ask

#: As many markets as XMarket has, and one that is not served at first.
MARKETS, NEW = ("ca", "de", "fr", "in", "jp", "mx", "uk"), "us"
TAKEN = 20


def add_sizes(parser: argparse.ArgumentParser) -> None:
    """Options of a benchmark that makes markets and draws at random."""
    parser.add_argument("--users", type=int, default=2000, help="of a market")
    parser.add_argument("--items", type=int, default=4000, help="of a market")
    parser.add_argument("--seed", type=int, default=0)


def make_markets(place: Path, versions: int, users: int, items: int) -> tuple[Path, Path, Oracle]:
    """An artifact of seven markets, a depot with versions of these and of one more, the truth."""
    artifact, depot, oracle = make_one(place / "artifact"), place / "depot", Oracle()
    backbone = Artifact.open(artifact).backbone
    for market, number in itertools.product((*MARKETS, NEW), range(versions)):
        folder = depot / f"{market}-{number}"
        folder.mkdir(parents=True)
        generator = np.random.default_rng([number, *market.encode()])
        for name, content in _version(market, backbone, generator, users, items).items():
            (folder / name).write_bytes(content)
        oracle.read(folder, market, backbone)
        if not number and market != NEW:
            add_market(artifact, folder)
    remove_market(artifact, "xx")
    return artifact, depot, oracle


def _version(
    name: str, backbone: Backbone, generator: np.random.Generator, users: int, items: int
) -> dict[str, bytes]:
    def draw(count: int) -> np.ndarray:
        return generator.normal(size=(count, WIDTH)).astype(np.float32)

    sold = np.sort(generator.choice(len(backbone.items), items, replace=False)).astype(np.int32)
    taken = [np.sort(generator.choice(items, TAKEN, replace=False)) for _ in range(users)]
    pairs = sorted_pairs(np.repeat(np.arange(users), TAKEN), np.concatenate(taken))
    form = VectorForm(draw(users), draw(items), sold, draw(items))
    names = Vocabulary([f"user-{number:06}" for number in range(users)])
    learned = np.ones(len(pairs), dtype=bool)
    return make_market(MarketSource(name, names, sold, pairs, learned, form, {}), backbone)


class Oracle:
    """Every version of every market as the artifact has it, and their lists by a full sort."""

    def __init__(self, markets: Iterable[Market] = ()) -> None:
        # As many threads as the service has: another number would round scores otherwise.
        threadpool_limits(1, user_api="blas")
        self.versions = {market.version: market for market in markets}
        self._best: dict[tuple[str, Ask], list[tuple[str, float]]] = {}

    def read(self, folder: Path, market: str, backbone: Backbone) -> str:
        """Take in a market's folder; returns its version."""
        with Folder.open(folder) as opened:
            found = read_market(opened, market, backbone)[0]
        self.versions[found.version] = found
        return found.version

    def of(self, name: str) -> list[str]:
        """Versions of a market."""
        return [version for version, market in self.versions.items() if market.name == name]

    def best(self, version: str, ask: Ask) -> list[tuple[str, float]]:
        """Ids and scores of a list."""
        key = (version, ask)
        if key not in self._best:
            self._best[key] = _sorted_list(self.versions[version], ask)
        return self._best[key]

    def wrong(self, ask: Ask, body: bytes) -> str | None:
        """What is wrong with an answer: not the whole list of the version that it names."""
        found = json.loads(body)
        market = self.versions.get(found.get("version"))
        if market is None or not market.name == found["market"] == ask.market:
            return f"{ask.market}: names version {found.get('version')}"
        items = [(item["id"], item["score"]) for item in found["items"]]
        if items != self.best(market.version, ask):
            return f"{ask.market}: not the list of {market.version[:12]}: {ask}"
        return None


def _sorted_list(market: Market, ask: Ask) -> list[tuple[str, float]]:
    if ask.user is None:
        rows = np.unique(market.vocabulary.rows(ask.history))
        scores = market.form.score_history(rows[rows >= 0])
        assert scores is not None, "the system cannot fold a history in"
        taken = np.flatnonzero(np.isin(market.catalogue, rows))
    else:
        user = int(market.users.rows([ask.user])[0])
        taken = market.seen_by(user)
        scores = market.form.score_user(user, market.catalogue[taken])
    masked = scores.astype(np.float32)
    masked[taken] = -np.inf
    order = np.argsort(-masked, kind="stable")[: min(ask.k, len(masked) - len(taken))]
    return [(market.item_ids[place], float(masked[place])) for place in order]
