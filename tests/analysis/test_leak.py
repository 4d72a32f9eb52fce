"""The worth of a leak, by hand: the same users, fitted with and without it."""

import polars as pl
import pytest
from tests.analysis.tiny import EASE, POPULARITY
from tests.small import markets, result_of

from crossmarket.analysis import leak
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.fitting import fit_target
from crossmarket.models.registry import build_model

DATA = result_of(markets())


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leak")
    setting = leak.ANALYSIS.setting(DATA, folder, systems=(POPULARITY, EASE), seeds=(0, 1))
    return leak.compute(setting)


def per_user(system, name, market):
    frames = []
    for seed in (0, 1):
        protocol = Protocol(name=name)
        split = protocol.split(DATA, seed)
        model = fit_target(
            lambda: build_model(system.model, None, system.config), protocol, split, market
        )
        frames.append(evaluate_market(model, protocol, split, market).per_user)
    return pl.concat(frames).group_by("user_id").agg(pl.col("ndcg@10").mean())


@pytest.mark.parametrize("market", ["mx", "uk"])
@pytest.mark.parametrize("system", [POPULARITY, EASE], ids=lambda system: system.title)
def test_the_gain_is_the_mean_difference_over_users(table, system, market):
    row = table.row(
        by_predicate=(pl.col("market") == market) & (pl.col("system") == system.title), named=True
    )
    honest, leaky = (per_user(system, name, market) for name in ("ratio-full", "dcmpt-leaky"))
    both = honest.join(leaky, on="user_id", suffix="_leaky")
    assert row["users"] == both.height == honest.height == leaky.height
    assert row["honest"] == pytest.approx(both["ndcg@10"].mean())
    assert row["leaky"] == pytest.approx(both["ndcg@10_leaky"].mean())
    assert row["gain"] == pytest.approx(row["leaky"] - row["honest"])
    assert row["low"] <= row["gain"] <= row["high"]


def test_all_users_stand_first_and_together(table):
    assert table["market"].unique(maintain_order=True).to_list() == ["all", *markets().markets]
    for system in ("Popularity", "EASE"):
        rows = table.filter(pl.col("system") == system)
        assert rows["users"][0] == rows["users"][1:].sum()
        weighed = (rows["gain"][1:] * rows["users"][1:]).sum() / rows["users"][0]
        assert rows["gain"][0] == pytest.approx(weighed)


def test_a_leak_helps_a_system_that_can_remember(table):
    ease = table.row(
        by_predicate=(pl.col("market") == "all") & (pl.col("system") == "EASE"), named=True
    )
    assert ease["low"] > 0
