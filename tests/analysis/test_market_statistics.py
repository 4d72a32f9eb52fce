from collections import Counter

import numpy as np
import pytest
from tests.small import markets, result_of
from tests.toys import dataset_of

from crossmarket.analysis.boxes import box_of
from crossmarket.analysis.market_statistics import ANALYSIS
from crossmarket.analysis.run import draw_table


def computed(data, folder, **chosen):
    return ANALYSIS.compute(ANALYSIS.setting(result_of(data), folder, **chosen))


def test_every_number_is_that_of_the_rows(tmp_path):
    table = computed(markets(), tmp_path, markets=("uk", "de"))
    assert table["market"].to_list() == ["uk", "de"]
    rows = markets().to_frame().rows(named=True)
    for found in table.rows(named=True):
        own = [row for row in rows if row["market"] == found["market"]]
        users = len({row["user_id"] for row in own})
        times = Counter(row["item_id"] for row in own)
        assert (found["users"], found["items"]) == (users, len(times))
        assert found["interactions"] == len(own)
        assert found["density"] == pytest.approx(len(own) / (users * len(times)))
        assert found["purchases_median"] == np.median(list(times.values()))
        for rate in (3, 4, 5):
            share = sum(row["weight"] == rate for row in own) / len(own)
            assert found[f"rating_{rate}"] == pytest.approx(share)
        assert sum(found[f"rating_{rate}"] for rate in (3, 4, 5)) == pytest.approx(1)


def test_a_box_is_that_of_tukey():
    assert box_of([1, 2, 3, 4, 100]) == {"low": 1, "q1": 2, "median": 3, "q3": 4, "high": 4}
    assert box_of([-50, 10, 11, 12, 13]) == {
        "low": 10,
        "q1": 10,
        "median": 11,
        "q3": 12,
        "high": 13,
    }
    assert set(box_of([7.5]).values()) == {7.5}


@pytest.mark.parametrize("weights", [[1.0] * 12, [float(value) for value in range(12)]])
def test_weights_that_are_no_ratings_are_left_out(weights, tmp_path):
    data = dataset_of([("de", "u", f"i{row}", weight, None) for row, weight in enumerate(weights)])
    table = computed(data, tmp_path)
    assert not [name for name in table.columns if name.startswith("rating")]
    draw_table(ANALYSIS, table, [tmp_path / "picture.svg"])
    assert "Ratings" not in (tmp_path / "picture.svg").read_text()
