"""Sampled candidates as a file, so that others can rank the very same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from crossmarket.data.splits import Split
from crossmarket.errors import DataError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.kept import read_kept_table
from crossmarket.files import write_atomically

#: Columns of the file, a row for each candidate that is not held out.
SCHEMA = {"market": pl.String, "user_id": pl.String, "item_id": pl.String}


def keep_candidates(protocol: Protocol, split: Split, file: Path) -> None:
    """Write the sampled negatives of every test user, or compare them with those written before.

    Nothing is written where a protocol ranks the whole catalogue: the split says it all.

    Raises
    ------
    DataError
        If the file holds other candidates, or is not whole.
    """
    table = candidate_table(protocol, split)
    if table.is_empty():
        return
    if not file.is_file():
        write_atomically(file, lambda path: table.write_parquet(path, compression="zstd"))
    elif not read_kept_table(file).equals(table):
        raise DataError(
            f"{file} holds other candidates than {protocol.label} draws now; results would not be "
            "comparable, so choose another folder"
        )


def candidate_table(protocol: Protocol, split: Split) -> pl.DataFrame:
    """Sampled negatives: `market, user_id, item_id`, sorted by market, user and item row."""
    items = pl.Series(split.test.items.ids, dtype=pl.String)
    tables = [pl.DataFrame(schema=SCHEMA)]
    for market in split.test.markets:
        drawn = protocol.negatives(split, market)
        if drawn is None:
            continue
        rows, columns = drawn.sorted_indices().nonzero()
        users = pl.Series(split.test.users(market).ids, dtype=pl.String)
        columns = {
            "user_id": users.gather(rows.astype(np.uint32)),
            "item_id": items.gather(columns.astype(np.uint32)),
        }
        tables.append(pl.DataFrame(columns).select(pl.lit(market).alias("market"), pl.all()))
    return pl.concat(tables)
