"""The change in percent, market by market and in the mean."""

import numpy as np
import polars as pl
import pytest
from tests.analysis.tiny import EASE, POPULARITY, setting

from crossmarket.analysis.ablation import MACRO, compute


def test_values_are_those_of_the_comparison_and_changes_relate_to_the_first(tmp_path):
    chosen = setting(tmp_path, EASE, POPULARITY, seeds=(0, 1))
    table = compute(chosen)
    _, per_user = chosen.comparison().run()
    grouped = per_user.group_by("market", "system", "seed")
    rows = grouped.agg(pl.col("ndcg@10", "recall@10").mean()).iter_rows()
    means = {row[:3]: row[3:] for row in rows}
    found = {row[:4]: row[4:] for row in table.iter_rows()}
    assert list(found) == [
        (market, system, metric, seed)
        for market in ("mx", "uk", MACRO)
        for system in ("EASE", "Popularity")
        for metric in ("ndcg@10", "recall@10")
        for seed in (0, 1)
    ]
    for (market, system, metric, seed), (value, change) in found.items():
        names = ("mx", "uk") if market == MACRO else (market,)
        place = ("ndcg@10", "recall@10").index(metric)
        own = np.mean([means[name, system, seed][place] for name in names])
        whole = np.mean([means[name, "EASE", seed][place] for name in names])
        assert value == pytest.approx(own)
        assert change == pytest.approx(100 * (own - whole) / whole)
