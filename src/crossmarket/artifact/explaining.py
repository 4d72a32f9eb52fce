"""Why an item is in a list: the shares of backbone and prompts, and the history that counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from crossmarket.artifact.answers import Explanation, Reason
from crossmarket.artifact.forms.base import Floats, Form, Rows, Strategy
from crossmarket.artifact.forms.vectors import VectorForm

_MOST_REASONS = 3


def explain(
    form: Form,
    strategy: Strategy,
    user: int | None,
    history: Rows,
    names: Sequence[tuple[str, str | None]],
    places: Rows,
    values: Floats,
) -> list[Explanation]:
    """Explain the scores of a list.

    Parameters
    ----------
    form : Form
        What scored.
    strategy : str
        How the list was made; what sells most needs no reasons.
    user : int or None
        Row of a known user.
    history : int [n]
        Item rows that count as taken.
    names : sequence of (str, str or None)
        Their ids and titles.
    places : int [k]
        The list: places in the catalogue.
    values : float32 [k]
        Their scores.
    """
    if strategy == "popular":
        return [Explanation(None, None, (), "none") for _ in places]
    shares = form.share_of_prompts(user, history, places)
    effects = form.leave_one_out(history, places)
    evidence: Literal["exact", "fold-in", "none"] = "exact"
    if user is not None and isinstance(form, VectorForm):
        evidence = "fold-in" if form.supports_fold_in else "none"
    found = []
    for column, value in enumerate(values.tolist()):
        prompt = None if shares is None else float(shares[column])
        reasons = []
        if evidence != "none":
            order = np.argsort(-effects[:, column], kind="stable")[:_MOST_REASONS]
            reasons = [
                Reason(names[row][0], float(effects[row, column]), names[row][1]) for row in order
            ]
        backbone = None if prompt is None else value - prompt
        found.append(Explanation(backbone, prompt, tuple(reasons), evidence))
    return found
