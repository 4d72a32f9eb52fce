"""Mini-markets and settings with which a whole run takes a fraction of a second."""

from dataclasses import replace
from functools import cache

import polars as pl
import yaml

from crossmarket.data.accounting import REJECTED_SCHEMA, ReadReport, ReadResult
from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.data.simulate import SimulationConfig, simulate
from crossmarket.data.store import write_store
from crossmarket.models.config import merge_values

SIMULATION = {
    "num_items": 60,
    "duplicate_pairs": 3,
    "seed": 5,
    "markets": [
        {"name": "de", "users": 30, "interactions_per_user": 8},
        {"name": "mx", "users": 12, "interactions_per_user": 7},
        {"name": "uk", "users": 24, "interactions_per_user": 8},
    ],
}

#: DCMPT in milliseconds.
TINY = {
    "backbone": {"epochs": 2, "embedding_size": 8, "num_negatives": 16},
    "teacher": {"epochs": 2, "embedding_size": 8, "num_negatives": 16},
    "epochs": 2,
    "num_prompts": 2,
    "split_banks": False,
}


@cache
def markets():
    """Simulated data set of three small markets."""
    return simulate(SimulationConfig(**SIMULATION)).dataset


def result_of(dataset, parts=None):
    """A data set as if it had been read."""
    return ReadResult(dataset, parts, ReadReport((), pl.DataFrame(schema=REJECTED_SCHEMA)))


def with_parts(split):
    """The data of a split together with its parts, as if both had been read."""
    whole = split.refit().train
    tests = {market: split.test.edges(market) for market in split.test.markets}
    rows = pl.concat([whole.to_frame(), whole.replace_edges(tests).to_frame()])
    dataset = MarketDataset.from_frame(rows.unique(list(SCHEMA)[:3], maintain_order=True))
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    return result_of(dataset, parts)


def plant(split, count, *, seed=0):
    """Copy `count` test interactions into training; returns the spoilt split."""
    tested = split.test.to_frame()
    leaked = tested.sample(min(count, tested.height), seed=seed, shuffle=True)
    mixed = MarketDataset.from_frame(pl.concat([split.train.to_frame(), leaked]))
    edges = {}
    for market in split.train.markets:
        users = split.train.users(market)
        part = mixed.edges(market)
        rows = users.rows(mixed.users(market).ids)
        columns = split.train.items.rows(mixed.items.ids)
        edges[market] = replace(part, users=rows[part.users], items=columns[part.items])
    return replace(split, train=split.train.replace_edges(edges))


def store(folder, dataset=None):
    """Write the mini-markets as a store; returns its folder."""
    write_store(dataset or markets(), folder)
    return folder


def settings(values=None):
    """`--set` options of `TINY` with changes."""
    flat = _flat(merge_values(TINY, values or {}))
    return [word for name, value in flat.items() for word in ("--set", f"{name}={value}")]


def write_yaml(path, value):
    """Write a YAML file; returns its path."""
    path.write_text(yaml.safe_dump(value))
    return path


def _flat(values, prefix=""):
    flat = {}
    for name, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{name}.") if inner else {prefix + name: value}
    return flat
