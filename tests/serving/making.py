"""Artifacts with several versions of a market over one backbone, and what they must answer."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tests.artifact.making import write_files

from crossmarket.artifact.forms import VectorForm
from crossmarket.artifact.manifest import FileRecord
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.packaging.writing import (
    MarketSource,
    make_backbone,
    make_market,
    sorted_pairs,
)

ITEMS = [f"item {number:03}/ü" for number in range(40)]
USERS = 20
MARKETS = ("de", "mx", "uk")
FIRST = 1


@dataclass(frozen=True)
class Made:
    """One version of a market: its files, hash, form and what users have."""

    files: dict
    version: str
    form: VectorForm
    users: list
    seen: dict

    def best(self, user, k=10, without=()):
        """Ids of the list of a known user, by sorting everything."""
        row = self.users.index(user)
        scores = self.form.items @ self.form.users[row]
        out = {ITEMS[item] for item in self.seen[user]} | set(without)
        order = sorted(range(len(ITEMS)), key=lambda item: (-scores[item], item))
        return [ITEMS[item] for item in order if ITEMS[item] not in out][:k]


@cache
def make(market, seed):
    """A version of a market, drawn by a seed; it sells all items."""
    draw = np.random.default_rng([seed, *market.encode()])
    users = [f"{market}-user {number:02}@example.org" for number in range(USERS)]
    catalogue = np.arange(len(ITEMS), dtype=np.int32)
    vectors = [draw.normal(size=(size, 4)).astype(np.float32) for size in (USERS, 40, 40)]
    form = VectorForm(vectors[0], vectors[1], catalogue, vectors[2])
    taken = [np.sort(draw.choice(len(ITEMS), 5, replace=False)) for _ in users]
    owners = np.repeat(np.arange(USERS), 5)
    vocabulary = Vocabulary(ITEMS)
    files, backbone = make_backbone("by-hand", {}, vocabulary, {market: form})
    pairs = sorted_pairs(owners, np.concatenate(taken))
    learned = np.ones(len(owners), dtype=bool)
    names = Vocabulary(users)
    source = MarketSource(market, names, catalogue, pairs, learned, form, {})
    made = make_market(source, backbone)
    version = FileRecord.of(made["manifest.json"]).sha256
    return files, Made(made, version, form, users, dict(zip(users, taken, strict=True)))


def write(folder):
    """An artifact of the first version of all markets."""
    made = {market: make(market, FIRST) for market in MARKETS}
    files = {market: one.files for market, (_, one) in made.items()}
    return write_files(folder, made["uk"][0], files)


def stock(depot, market, seed, name=None):
    """Put a version into a depot; returns it."""
    _, made = make(market, seed)
    folder = Path(depot) / (name or f"{market}-{seed}")
    folder.mkdir()
    for file, content in made.files.items():
        (folder / file).write_bytes(content)
    return made


def spoil(folder, file="users.safetensors"):
    """Flip the last byte of a file."""
    path = Path(folder) / file
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
