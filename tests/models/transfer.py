"""Two markets, and a change of the source that leaves the target's own examples as they are."""

from dataclasses import replace

import numpy as np
from tests.toys import dataset_of


def two_markets(*, shared):
    """Markets `aa` and `bb` over the same items, or over items of their own."""
    rng = np.random.default_rng(3)
    rows = []
    for market, sold in (("aa", range(12)), ("bb", range(12) if shared else range(12, 24))):
        for user in range(10):
            bought = rng.choice(list(sold), size=4, replace=False)
            rows += [(market, f"u{user}", f"i{item:02d}") for item in bought]
    return dataset_of(rows)


def relabelled(data, market="bb"):
    """The same data, but in one market every purchase is of the next item of the catalogue."""
    edges, sold = data.edges(market), data.catalogue(market)
    items = sold[(np.searchsorted(sold, edges.items) + 1) % len(sold)]
    order = np.lexsort((items, edges.users))
    return data.replace_edges({market: replace(edges, items=items[order])})
