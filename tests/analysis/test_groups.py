"""Groups of markets, users and items: who is where, and the means of each."""

from collections import Counter, defaultdict

import numpy as np
import polars as pl
import pytest
from tests.small import markets, result_of

from crossmarket.analysis import item_groups, market_groups, user_groups
from crossmarket.experiments.systems import SystemConfig

SYSTEMS = (
    SystemConfig(title="Kind", model="item-knn"),
    SystemConfig(title="Best sellers", model="popularity"),
)
SEEDS = (0, 3)


@pytest.fixture(scope="module", params=["ratio-full", "forec"])
def protocol(request):
    return request.param


def computed(module, folder, protocol):
    from crossmarket.evaluation.protocols import Protocol

    setting = module.ANALYSIS.setting(
        result_of(markets()),
        folder,
        systems=SYSTEMS,
        seeds=SEEDS,
        protocol=Protocol(name=protocol),
    )
    return setting, module.ANALYSIS.compute(setting)


def trained_on(setting, seed, market, column):
    """How often each user or item is in the training part of a market."""
    train = setting.protocol.split(setting.data, seed).train.to_frame()
    return Counter(train.filter(pl.col("market") == market)[column])


def test_markets_are_halved_by_their_training_interactions(tmp_path, protocol):
    setting, table = computed(market_groups, tmp_path, protocol)
    order = table.select("group", "market").unique(maintain_order=True).rows()
    assert order == [("sparse", "mx"), ("rich", "uk"), ("rich", "de")]
    assert table["system"].unique(maintain_order=True).to_list() == ["Kind", "Best sellers"]
    _, per_user = setting.comparison().run()
    for row in table.rows(named=True):
        keys = {name: row[name] for name in ("market", "system", "seed")}
        values = per_user.filter(**keys)["ndcg@10"].to_list()
        assert row["ndcg"] == pytest.approx(sum(values) / len(values))
        counts = trained_on(setting, row["seed"], row["market"], "user_id")
        assert row["interactions"] == sum(counts.values())
    assert table.height == 3 * len(SYSTEMS) * len(SEEDS)


def test_users_are_grouped_from_cold_to_warm(tmp_path, protocol):
    setting, table = computed(user_groups, tmp_path, protocol)
    _, per_user = setting.comparison().run()
    for (market, seed), part in table.partition_by("market", "seed", as_dict=True).items():
        counts = trained_on(setting, seed, market, "user_id")
        own = per_user.filter(pl.col("market") == market, pl.col("seed") == seed)
        ranked = sorted(set(own["user_id"]), key=lambda user: (counts[user], user))
        groups = np.array_split(np.array(ranked, dtype=object), 5)
        assert max(map(len, groups)) - min(map(len, groups)) <= 1
        for row in part.rows(named=True):
            members = set(groups[row["group"] - 1])
            values = own.filter(
                pl.col("system") == row["system"], pl.col("user_id").is_in(list(members))
            )["ndcg@10"]
            assert row["users"] == len(members) == len(values)
            assert row["interactions"] == pytest.approx(np.mean([counts[u] for u in members]))
            assert row["ndcg"] == pytest.approx(values.to_numpy().mean())
        assert part.height == 5 * len(SYSTEMS)
        sizes = part.filter(pl.col("system") == "Kind").sort("group")["interactions"]
        assert sizes.is_sorted()


def test_items_are_grouped_by_their_sales(tmp_path, protocol):
    setting, table = computed(item_groups, tmp_path, protocol)
    hits = defaultdict(list)
    for row in setting.comparison().hits().rows(named=True):
        hits[row["seed"], row["market"], row["system"]].append((row["item_id"], row["rank"] > 0))
    bounds = {"0": (0, 0), "1-5": (1, 5), "6-10": (6, 10), "over 10": (11, 10**9)}
    total = 0
    for row in table.rows(named=True):
        counts = trained_on(setting, row["seed"], row["market"], "item_id")
        least, most = bounds[row["group"]]
        found = [
            hit
            for item, hit in hits[row["seed"], row["market"], row["system"]]
            if least <= counts[item] <= most
        ]
        assert row["interactions"] == len(found)
        assert row["recall@10"] == pytest.approx(sum(found) / len(found))
        total += len(found)
    assert total == sum(map(len, hits.values()))
