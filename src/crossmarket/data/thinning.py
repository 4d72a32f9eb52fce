"""Taking training interactions away from every user of a market."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossmarket.data.splits import Split, market_generator
from crossmarket.errors import UsageError


def thin_users(split: Split, target: str, share: float) -> Split:
    """Keep a share of each user's training interactions in the target; all else stays.

    `launch_split` takes a share of the market as a whole, so that users disappear from training;
    here every user stays, with a shorter history. For one seed, a smaller share keeps a subset of
    a larger one, and every user of the training part keeps at least one interaction.

    Parameters
    ----------
    split : Split
        What to thin.
    target : str
        Market that is thinned; the other markets stay whole.
    share : float
        Share of each user's interactions to keep, above 0 and at most 1.

    Raises
    ------
    UsageError
        If the share is out of range or the market unknown.
    """
    if not 0 < share <= 1:
        raise UsageError(f"share {share} of a user's interactions must lie in (0, 1]")
    edges = split.train.edges(target)
    chance = market_generator(split.seed + 3, target).random(len(edges))
    order = np.lexsort((chance, edges.users))
    counts = np.bincount(edges.users)
    starts = np.cumsum(counts) - counts
    places = np.empty(len(edges), dtype=np.int64)
    places[order] = np.arange(len(edges)) - starts[edges.users[order]]
    kept = places < np.maximum(np.rint(share * counts), 1)[edges.users]
    return replace(
        split,
        name=f"{split.name}-thinned",
        details={**split.details, "thinned": {"target": target, "share": share}},
        train=split.train.replace_edges({target: edges.select(kept)}),
    )
