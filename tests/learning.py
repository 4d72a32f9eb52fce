"""What every learning test asks: the training data are learned to the full."""

import numpy as np
from tests.toys import block_markets, build_tiny

from crossmarket.training.options import RunOptions

TARGET = "bb"


def ranked_on_top(model, data):
    """Of each user, whether all its training items come before all others."""
    scores = model.score(np.arange(len(data.users(TARGET))))
    own = data.matrix(TARGET)[:, data.catalogue(TARGET)].toarray() > 0
    return np.where(own, scores, np.inf).min(axis=1) > np.where(own, -np.inf, scores).max(axis=1)


def hits_at_one(model, data):
    """Share of users whose best item is one of their training items."""
    table = model.recommend(list(data.users(TARGET).ids), k=1, exclude_seen=False)
    hits = table.join(data.to_frame(), on=["market", "user_id", "item_id"])
    return len(hits) / len(table)


def fit_blocks(model_class, values, *, epochs=80, preset=None, workspace=None, data=None):
    """Fit a system to the block toy; returns the model and the data."""
    data = block_markets() if data is None else data
    options = RunOptions(seed=1, threads=1, workspace=workspace)
    model = build_tiny(model_class, options, preset, values, epochs=epochs)
    return model.fit(data, target=TARGET), data
