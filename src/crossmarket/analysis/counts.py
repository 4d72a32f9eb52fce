"""How much a model has seen: training interactions of each user or item."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from crossmarket.analysis.base import Setting


def training_counts(setting: Setting, of: Literal["user_id", "item_id"]) -> pl.DataFrame:
    """Training interactions in the market itself: `seed, market`, the id and `count`.

    There is a row for every user of the market, or for every item of any market: also for those
    without a training interaction there.
    """
    frames = []
    for seed in setting.seeds:
        split = setting.protocol.split(setting.data, seed)
        for market in setting.markets:
            train = setting.protocol.for_target(split, market).train
            edges = train.edges(market)
            names, rows = (
                (train.users(market), edges.users)
                if of == "user_id"
                else (train.items, edges.items)
            )
            columns = {
                "seed": np.full(len(names), seed, dtype=np.int32),
                "market": [market] * len(names),
                of: names.ids,
                "count": np.bincount(rows, minlength=len(names)),
            }
            frames.append(pl.DataFrame(columns, schema_overrides={of: pl.String}))
    return pl.concat(frames)
