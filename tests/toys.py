"""Small data sets whose structure is known, and small settings for every system."""

from collections.abc import Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np
import polars as pl
from pydantic import BaseModel

from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.data.splits import Split
from crossmarket.models.config import merge_values

DAY = 86_400
TARGET = "bb"
PARTS = ("train", "valid", "test")
PART_SCHEMA = {**SCHEMA, "part": pl.String()}

#: Users of each market and the numbers of the items it sells.
MARKETS = {"aa": (24, range(26)), "bb": (18, range(12, 38)), "cc": (14, range(20, 50))}

#: Settings that make a fit take milliseconds; each is used wherever a config has such a field.
TINY: dict[str, Any] = {
    "embedding_size": 8,
    "epochs": 2,
    "batch_size": 64,
    "num_negatives": 4,
    "num_prompts": 3,
    "batch_pairs": 32,
    "distillation_users": 8,
    "top": 6,
    "length": 6,
}


def dataset_of(rows):
    """Data set of (market, user, item, weight, timestamp) rows; trailing values may be left out."""
    full = [(*row, *(1.0, None)[len(row) - 3 :]) for row in rows]
    return MarketDataset.from_frame(pl.DataFrame(full, schema=SCHEMA, orient="row"))


def split_of(rows):
    """Split of (market, user, item, weight, timestamp, part) rows."""
    frame = pl.DataFrame(rows, schema=PART_SCHEMA, orient="row")
    whole = MarketDataset.from_frame(frame.drop("part"))
    keys = ["market", "user_id", "item_id"]
    order = whole.to_frame().join(frame, on=keys, how="left", maintain_order="left")
    parts = []
    for part in PARTS:
        edges = {
            market: whole.edges(market).select(
                (order.filter(pl.col("market") == market)["part"] == part).to_numpy()
            )
            for market in whole.markets
        }
        parts.append(whole.replace_edges(edges))
    return Split("toy", 0, {}, *parts)


def toy_rows(seed=0):
    """Rows of three markets that share some items; the target also has awkward cases.

    The target sells `launched`, which nobody bought in training; its user `newcomer` did nothing
    in training; equal user ids in several markets are different people.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for market, (num_users, sold) in MARKETS.items():
        for user in range(num_users):
            bought = rng.choice(list(sold), size=rng.integers(6, 10), replace=False)
            for place, item in enumerate(bought):
                part = "test" if place == 0 else "valid" if place == 1 else "train"
                day = int(rng.integers(0, 400))
                weight = float(rng.integers(1, 6))
                rows.append((market, f"u{user:02d}", f"i{item:02d}", weight, day * DAY, part))
    rows += [
        (TARGET, "newcomer", "i20", 1.0, 401 * DAY, "valid"),
        (TARGET, "newcomer", "launched", 1.0, 402 * DAY, "test"),
        (TARGET, "u00", "launched", 1.0, 403 * DAY, "test"),
    ]
    return rows


def toy_split(seed=0):
    """The split of `toy_rows`."""
    return split_of(toy_rows(seed))


def block_markets(num_blocks=3, users=6, items=4, markets=("aa", "bb")):
    """Markets in which every user has bought all but one item of a block and nothing else.

    A model that has learned the data ranks a user's own items before all others; one that has
    learned the blocks ranks the missing item next.
    """
    rows = [
        (market, f"u{block}-{user}", f"i{block}-{item}", 1.0, DAY * (user + 1))
        for market in markets
        for block in range(num_blocks)
        for user in range(users)
        for item in range(items)
        if item != user % items
    ]
    return dataset_of(rows)


def tiny_config(config_class, **more):
    """Values of `TINY` for the fields that a config (and the configs inside it) has."""
    wanted = {**TINY, **more}
    values: dict[str, Any] = {}
    for name, field in config_class.model_fields.items():
        inner = _config_in(field.annotation)
        if name in wanted:
            values[name] = wanted[name]
        elif inner is not None and field.default is not None:
            values[name] = tiny_config(inner, **more)
    return values


def build_tiny(model_class, options, preset=None, values: Mapping[str, Any] | None = None, **more):
    """A system with tiny settings over a preset."""
    settings = merge_values(tiny_config(model_class.config_class, **more), values or {})
    return model_class.from_config(settings, preset=preset, options=options)


def _config_in(annotation):
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    for choice in choices:
        if isinstance(choice, type) and issubclass(choice, BaseModel):
            return choice
    return None
