"""One source at a time: what the runs share, and the tables made of them."""

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW
from tests.small import markets, result_of

from crossmarket.analysis import source_gains, transfer_matrix
from crossmarket.analysis.sources import pairwise
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import restrict
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.popularity import Popularity
from crossmarket.models.registry import build_model

EASE = SystemConfig(title="EASE", model="ease")
SALES = SystemConfig(title="Sales", model="popularity", config={"markets": "all"})
NAMES = ("de", "mx", "uk")


def setting_of(module, folder, systems, **chosen):
    return module.ANALYSIS.setting(result_of(markets()), folder, systems=systems, **chosen)


def users_of(model, protocol, names, target, seed):
    """NDCG@10 of each user after a training on some markets, by user id."""
    split = protocol.split(restrict(result_of(markets()), names), seed)
    fitted = build_model(model).fit(split.train, target=target, valid=split.valid)
    values = evaluate_market(fitted, protocol, split, target).per_user
    return dict(values.select("user_id", "ndcg@10").iter_rows())


@pytest.mark.parametrize("name", ["ratio-full", "forec"])
def test_runs_pair_the_same_users_and_differ_in_the_source_only(tmp_path, name):
    protocol = Protocol(name=name)
    setting = setting_of(transfer_matrix, tmp_path, (EASE,), protocol=protocol, seeds=(0, 1))
    values = pairwise(setting, [EASE], [EASE])
    runs = values.partition_by("target", "source", as_dict=True)
    assert list(runs) == [
        (target, source)
        for target in NAMES
        for source in (None, *(other for other in NAMES if other != target))
    ]
    for (target, source), part in runs.items():
        assert part["user_id"].equals(runs[target, None]["user_id"])
        names = [target] if source is None else [target, source]
        seeds = [users_of("ease", protocol, names, target, seed) for seed in (0, 1)]
        for user, ndcg in part.select("user_id", "ndcg").iter_rows():
            assert ndcg == pytest.approx(np.mean([seed[user] for seed in seeds if user in seed]))


@pytest.mark.parametrize("name", ["ratio-full", "forec", "time-full", "acmr-market"])
def test_a_source_changes_neither_the_test_users_nor_the_candidates(tmp_path, name):
    setting = setting_of(transfer_matrix, tmp_path, (SALES,), protocol=Protocol(name=name))
    runs = pairwise(setting, [SALES], [SALES]).partition_by("target", "source", as_dict=True)
    for (target, _), part in runs.items():
        assert part["user_id"].equals(runs[target, None]["user_id"])


def test_protocols_that_rank_other_markets_items_are_refused(tmp_path):
    protocol = Protocol(name="acmr-union")
    setting = setting_of(transfer_matrix, tmp_path, (SALES,), protocol=protocol)
    with pytest.raises(UsageError, match="acmr-union ranks items of all markets"):
        pairwise(setting, [SALES], [SALES])


def test_it_takes_a_source_and_systems_that_use_it(tmp_path, monkeypatch):
    alone = MarketDataset.from_frame(markets().select_markets(["de"]).to_frame())
    setting = transfer_matrix.ANALYSIS.setting(result_of(alone), tmp_path, systems=(SALES,))
    with pytest.raises(UsageError, match="have one market only"):
        transfer_matrix.compute(setting)
    monkeypatch.setattr(Popularity, "uses_sources", False)
    with pytest.raises(UsageError, match="Sales learns from the target alone"):
        transfer_matrix.compute(setting_of(transfer_matrix, tmp_path, (EASE, SALES)))


def test_each_cell_of_the_matrix_is_a_paired_test(tmp_path):
    setting = setting_of(transfer_matrix, tmp_path, (EASE, SALES), markets=("uk", "mx"))
    table = transfer_matrix.compute(setting)
    assert table["system"].unique(maintain_order=True).to_list() == ["EASE", "Sales"]
    values = pairwise(setting, setting.systems, setting.systems)
    for (system,), part in table.partition_by("system", as_dict=True).items():
        expected = []
        for row in part.rows(named=True):
            runs = values.filter(system=system, target=row["target"])
            alone = runs.filter(pl.col("source").is_null())
            both = runs.filter(source=row["source"])
            difference = (both["ndcg"] - alone["ndcg"]).to_numpy()
            assert row["users"] == len(difference)
            assert row["alone"] == pytest.approx(alone["ndcg"].mean())
            assert row["together"] == pytest.approx(both["ndcg"].mean())
            assert row["gain"] == pytest.approx(difference.mean())
            assert row["low"] <= row["gain"] <= row["high"]
            p_value = DescrStatsW(difference).ttest_mean()[1] if difference.any() else 1.0
            assert row["p_value"] == pytest.approx(p_value)
            expected.append(row["p_value"])
        adjusted = multipletests(expected, method="holm")[1]
        assert part["p_holm"].to_list() == pytest.approx(adjusted.tolist())
    pairs = table.filter(system="EASE").select("target", "source").rows()
    assert pairs == [("uk", "de"), ("uk", "mx"), ("mx", "de"), ("mx", "uk")]


def test_gains_are_over_the_first_system_on_the_target_alone(tmp_path):
    protocol = Protocol(name="forec")
    setting = setting_of(source_gains, tmp_path, (SALES, EASE))
    assert setting.protocol == protocol
    table = source_gains.compute(setting)
    assert table.height == 6
    for row in table.rows(named=True):
        base = users_of("popularity", protocol, [row["target"]], row["target"], 0)
        system = users_of("ease", protocol, [row["target"], row["source"]], row["target"], 0)
        assert (row["system"], row["base"]) == ("EASE", "Sales")
        assert row["alone"] == pytest.approx(np.mean(list(base.values())))
        assert row["ndcg"] == pytest.approx(np.mean(list(system.values())))
        assert row["gain"] == pytest.approx(row["ndcg"] - row["alone"])


def test_gains_need_something_to_compare(tmp_path):
    with pytest.raises(UsageError, match="a base and at least one system"):
        source_gains.compute(setting_of(source_gains, tmp_path, (EASE,)))
