import polars as pl
from tests.analysis.tiny import EASE, POPULARITY, setting

from crossmarket.analysis.base import in_order
from crossmarket.analysis.means import group_means, market_means


def test_the_mean_over_markets_stands_beside_the_markets():
    records = [
        {
            "title": title,
            "seed": seed,
            "markets": {"uk": {"a": seed + 1, "b": 0.5}, "mx": {"a": 3.0, "b": 0.25}},
            "macro": {"a": (seed + 4) / 2, "b": 0.375},
        }
        for title in ("X", "Y")
        for seed in (0, 1)
    ]
    table = market_means(records, ["a"], macro="all")
    assert table.columns == ["market", "system", "seed", "a"]
    assert table.height == 12
    assert table.filter(market="all", system="Y", seed=1)["a"].item() == 2.5
    assert table.filter(market="uk", system="X", seed=0)["a"].item() == 1.0


def test_users_that_are_alike_in_all_columns_are_a_group():
    users = pl.DataFrame({"a": [1, 1, 2], "b": ["x", "x", "x"], "ndcg@10": [0.0, 0.5, 1.0]})
    table = group_means(users, "b", "a", users=pl.len()).sort("a")
    assert table.rows() == [("x", 1, 2, 0.25), ("x", 2, 1, 1.0)]
    assert table.columns == ["b", "a", "users", "ndcg"]


def test_markets_and_systems_come_in_the_order_of_the_setting(tmp_path):
    chosen = setting(tmp_path, POPULARITY, EASE, names=("uk", "mx"))
    cells = [(0.1, seed, system, market) for seed in (1, 0) for system in ("EASE", "Popularity")
             for market in ("de", "mx", "uk")]  # fmt: skip
    table = pl.DataFrame(cells, schema=("value", "seed", "system", "market"), orient="row")
    found = in_order(table, chosen, "system", "market", "seed")
    assert found.columns == ["system", "market", "seed", "value"]
    assert found.select(pl.exclude("value")).rows() == [
        (system, market, seed)
        for system in ("Popularity", "EASE")
        for market in ("uk", "mx")
        for seed in (0, 1)
    ]
    turned = in_order(table, chosen, "market", "seed", market=["de", "uk"])
    assert turned["market"].unique(maintain_order=True).to_list() == ["de", "uk"]
