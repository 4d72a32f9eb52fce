import numpy as np
import polars as pl
import pytest
from tests.small import markets, result_of

from crossmarket.analysis.launch_curve import ANALYSIS, FRACTIONS, MACRO
from crossmarket.data.changed_splits import launch_split
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.registry import build_model

EASE = SystemConfig(title="EASE", model="ease")


def test_every_point_is_a_training_on_the_fraction(tmp_path):
    data, chosen = result_of(markets()), ("uk", "mx")
    setting = ANALYSIS.setting(data, tmp_path, systems=(EASE,), markets=chosen, seeds=(2,))
    table = ANALYSIS.compute(setting)
    assert table["market"].unique(maintain_order=True).to_list() == [MACRO, "uk", "mx"]
    split = Protocol().split(data, 2)
    for fraction in FRACTIONS:
        found = dict(table.filter(fraction=fraction).select("market", "ndcg").iter_rows())
        expected = {}
        for market in chosen:
            train = launch_split(split, market, fraction).train
            model = build_model("ease").fit(train, target=market, valid=split.valid)
            per_user = evaluate_market(model, Protocol(), split, market).per_user
            expected[market] = per_user["ndcg@10"].mean()
        expected[MACRO] = np.mean(list(expected.values()))
        assert found == pytest.approx(expected)


def test_the_protocols_options_are_kept(tmp_path):
    chosen = {"systems": (EASE,), "markets": ("mx",)}
    tables = [
        ANALYSIS.compute(
            ANALYSIS.setting(result_of(markets()), tmp_path, protocol=protocol, **chosen)
        )
        for protocol in (Protocol(), Protocol(history="train+valid"))
    ]
    assert not tables[0].equals(tables[1])


def test_many_systems_have_a_row_each_of_the_mean():
    titles = [f"System {place}" for place in range(12)]
    rows = [
        (market, title, fraction, seed, place * fraction + seed)
        for market in (MACRO, "uk")
        for place, title in enumerate(titles)
        for fraction in FRACTIONS
        for seed in (0, 1)
    ]
    columns = ["market", "system", "fraction", "seed", "ndcg"]
    (axes,) = ANALYSIS.draw(pl.DataFrame(rows, schema=columns, orient="row")).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == titles[::-1]
    drawn = [collection.get_offsets() for collection in axes.collections[1:]]
    assert len(drawn) == len(FRACTIONS)
    for fraction, points in zip(FRACTIONS, drawn, strict=True):
        # The best system at the start is in the uppermost row, whose place is 0.
        expected = [(place * fraction + 0.5, 11 - place) for place in range(12)]
        np.testing.assert_allclose(sorted(points.tolist()), expected)
