from collections import Counter
from math import sqrt

import pytest
from tests.small import markets, result_of

from crossmarket.analysis.market_similarity import ANALYSIS


def test_every_pair_is_compared_by_its_rows(tmp_path):
    setting = ANALYSIS.setting(result_of(markets()), tmp_path, markets=("uk", "de"))
    table = ANALYSIS.compute(setting)
    assert table.select("market", "other").rows() == [
        ("uk", "uk"),
        ("uk", "de"),
        ("de", "uk"),
        ("de", "de"),
    ]
    counts = {
        name: Counter(frame["item_id"])
        for (name,), frame in markets().to_frame().partition_by("market", as_dict=True).items()
    }
    for row in table.rows(named=True):
        one, other = counts[row["market"]], counts[row["other"]]
        both = one.keys() & other.keys()
        dot = sum(one[item] * other[item] for item in both)
        norms = [sqrt(sum(times**2 for times in count.values())) for count in (one, other)]
        assert row["overlap"] == len(both)
        assert row["jaccard"] == pytest.approx(len(both) / len(one.keys() | other.keys()))
        assert row["cosine"] == pytest.approx(dot / (norms[0] * norms[1]))
