"""Top-k lists in a table, and the bare histories that they may be asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl
from scipy.sparse import csr_array

from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import UsageError
from crossmarket.metrics.ranking import top_k
from crossmarket.models.arrays import FloatMatrix, Rows

_BLOCK = 1024
_SCHEMA = {"user_id": pl.String, "item_id": pl.String, "score": pl.Float32, "rank": pl.Int32}


def blocks(count: int) -> Iterator[slice]:
    """Blocks of `count` users whose scores are held at once."""
    for start in range(0, count, _BLOCK):
        yield slice(start, start + _BLOCK)


def top_lists(
    names: Sequence[str],
    candidates: Rows,
    score: Callable[[slice], FloatMatrix],
    items: Vocabulary,
    *,
    k: int,
    seen: csr_array | None = None,
) -> pl.DataFrame:
    """Lists of the best candidates.

    Parameters
    ----------
    names : sequence of str
        Ids of the users.
    candidates : int [m]
        Item rows.
    score : callable
        Scores of the candidates for a block of the users, float32 [block, m].
    items : Vocabulary
        What the rows of the items mean.
    k : int
        Length of each list; shorter where fewer candidates are left.
    seen : sparse [len(names), len(items)], optional
        Items to leave out of each user's list.

    Returns
    -------
    polars.DataFrame with `user_id, item_id, score, rank` (rank 1 is best).
    """
    parts = [pl.DataFrame(schema=_SCHEMA)]
    for block in blocks(len(names)):
        scores = score(block)
        if seen is not None:
            scores = np.where(seen[block][:, candidates].toarray() > 0, -np.inf, scores)
        columns, values = top_k(scores, k)
        found = columns >= 0
        repeats = found.sum(axis=1)
        parts.append(
            pl.DataFrame(
                {
                    "user_id": np.repeat(np.array(names[block], dtype=object), repeats),
                    "item_id": items.take(candidates[columns[found]]),
                    "score": values[found].astype(np.float32),
                    "rank": (np.nonzero(found)[1] + 1).astype(np.int32),
                },
                schema=_SCHEMA,
            )
        )
    return pl.concat(parts)


def history_matrix(histories: Sequence[Sequence[str]], items: Vocabulary) -> csr_array:
    """Bare histories as rows of a binary matrix, float32 [len(histories), len(items)].

    Raises
    ------
    UsageError
        If no item of a history is known.
    """
    rows: list[Rows] = [np.zeros(0, dtype=np.int64)]
    columns: list[Rows] = [np.zeros(0, dtype=np.int64)]
    for number, history in enumerate(histories):
        known = np.unique(items.rows(list(history)))
        known = known[known >= 0]
        if not len(known):
            raise UsageError(
                f"none of the items of history {number + 1} is known; "
                "check the ids against `crossmarket data describe`"
            )
        rows.append(np.full(len(known), number))
        columns.append(known)
    flat = (np.concatenate(rows), np.concatenate(columns))
    shape = (len(histories), len(items))
    return csr_array((np.ones(len(flat[0]), dtype=np.float32), flat), shape=shape)
