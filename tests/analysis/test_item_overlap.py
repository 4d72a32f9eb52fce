"""Items sold in several markets against items of one."""

import numpy as np
import pytest
from tests.analysis.tiny import EASE, POPULARITY, setting

from crossmarket.analysis.item_overlap import OWN, SHARED, compute
from crossmarket.data.splits import leave_one_out_split
from crossmarket.evaluation.protocols import Protocol


@pytest.mark.parametrize("protocol", ["loo-99", "ratio-full"])
def test_groups_and_values_are_those_counted_by_hand(tmp_path, protocol):
    chosen = setting(tmp_path, POPULARITY, EASE, protocol=protocol, seeds=(0, 1))
    table, hits = compute(chosen), chosen.comparison().hits()
    whole = chosen.data.dataset
    sold = {name: set(whole.items.take(whole.catalogue(name))) for name in whole.markets}
    expected = {}
    for row in hits.iter_rows(named=True):
        # `de` sells, too, though it is no target.
        others = [name for name in sold if name != row["market"] and row["item_id"] in sold[name]]
        key = (row["market"], row["system"], SHARED if others else OWN, row["seed"])
        expected.setdefault(key, []).append(row["rank"])
    found = {row[:4]: row[4:] for row in table.iter_rows()}
    assert found.keys() == expected.keys()
    for key, (count, recall, mrr, *errors) in found.items():
        ranks = np.array(expected[key])
        places = np.array([1 / rank if rank else 0 for rank in ranks])
        assert count == len(ranks)
        assert recall == pytest.approx(np.mean(ranks > 0))
        assert mrr == pytest.approx(np.mean(places))
        if count == 1:
            assert errors == [None, None]
        else:
            spreads = [np.std(ranks > 0, ddof=1), np.std(places, ddof=1)]
            assert errors == pytest.approx([spread / count**0.5 for spread in spreads])
    assert {key[2] for key in found} == {SHARED, OWN}


def test_with_one_held_out_item_a_user_the_groups_add_up_to_the_metrics(tmp_path):
    chosen = setting(tmp_path, EASE, protocol="loo-99")
    table = compute(chosen)
    (record,), _ = chosen.comparison().run()
    split = leave_one_out_split(chosen.data.dataset, seed=0)
    assert chosen.protocol == Protocol(name="loo-99")
    for market in chosen.markets:
        own = table.filter(market=market)
        weights = own["interactions"].to_numpy()
        assert weights.sum() == len(split.test.edges(market))
        for metric in ("recall@10", "mrr@10"):
            mean = np.average(own[metric].to_numpy(), weights=weights)
            assert mean == pytest.approx(record["markets"][market][metric])
