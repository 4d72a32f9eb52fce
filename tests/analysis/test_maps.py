"""Maps of item vectors: which points, whose vectors, how far apart."""

import numpy as np
import polars as pl
import pytest
from tests.analysis.tiny import POPULARITY, acmr, dcmpt, setting
from tests.toys import dataset_of

from crossmarket.analysis import distillation_map, item_map
from crossmarket.analysis.fitted import fit_system
from crossmarket.analysis.maps import map_table, sample_points, silhouette
from crossmarket.errors import DataError, UsageError

ROWS = [("aa", "u", item) for item in "abcd"] + [("bb", "v", item) for item in "bcx"]
ROWS += [("cc", "w", item) for item in "cdy"]


def silhouette_by_hand(vectors, names):
    values = []
    for place, vector in enumerate(vectors):
        distances = np.linalg.norm(vectors - vector, axis=1)
        means = {}
        for name in set(names):
            others = [at for at, own in enumerate(names) if own == name and at != place]
            means[name] = distances[others].mean() if others else None
        own = means.pop(names[place])
        nearest = min(means.values())
        values.append(0 if own is None else (nearest - own) / max(nearest, own))
    return np.mean(values)


def test_the_silhouette_is_the_textbook_s():
    vectors = np.random.default_rng(0).normal(size=(12, 3))
    names = ["aa"] * 4 + ["bb"] * 7 + ["cc"]
    assert silhouette(vectors, names) == pytest.approx(silhouette_by_hand(vectors, names))


def test_points_are_what_enough_of_the_markets_sell():
    data = dataset_of(ROWS)

    def points(markets, least, count=99, seed=0):
        found = sample_points(data, markets, least, count, seed)
        return {name: list(data.items.take(rows)) for name, rows in found.items()}

    everything = points(("aa", "bb", "cc"), 1)
    assert everything == {"aa": list("abcd"), "bb": list("bcx"), "cc": list("cdy")}
    assert points(("aa", "bb", "cc"), 2) == {"aa": list("bcd"), "bb": list("bc"), "cc": list("cd")}
    assert points(("aa", "bb"), 2) == {"aa": list("bc"), "bb": list("bc")}
    few = points(("aa", "bb", "cc"), 1, count=6)
    assert sum(map(len, few.values())) == 6
    assert all(set(few[name]) <= set(everything[name]) for name in few)
    assert few == points(("aa", "bb", "cc"), 1, count=6)
    assert few != points(("aa", "bb", "cc"), 1, count=6, seed=1)
    with pytest.raises(DataError, match="at least two markets"):
        points(("bb", "cc"), 3)


def test_views_are_before_and_after_and_repeat_themselves(tmp_path):
    systems = (dcmpt("before", "no-distillation"), dcmpt("after", gamma=5.0, epochs=4))
    chosen = setting(tmp_path, *systems, names=("de", "mx", "uk"))
    table = distillation_map.compute(chosen)
    split = chosen.protocol.split(chosen.data, 0)
    first, second = table.partition_by("view", maintain_order=True)
    assert (first["view"][0], second["view"][0]) == distillation_map.VIEWS
    assert first.select("market", "item_id").equals(second.select("market", "item_id"))
    sellers = first.group_by("item_id").len()
    assert sellers["len"].min() >= 2
    for view, system in ((first, systems[0]), (second, systems[1])):
        vectors = []
        for market in chosen.markets:
            model = fit_system(chosen, system, split, market)
            items = view.filter(market=market)["item_id"].to_list()
            vectors.append(model.item_vectors(split.train.items.rows(items)))
        expected = silhouette_by_hand(np.concatenate(vectors), view["market"].to_list())
        assert view["silhouette"].unique().to_list() == [pytest.approx(expected, abs=1e-5)]
    assert distillation_map.compute(chosen).equals(table)


def test_the_item_map_is_drawn_before_fine_tuning(tmp_path):
    systems = (
        acmr("alone", "single-market"),
        acmr("bare", "no-market-embedding"),
        acmr("whole", learning_rate=0.05),
    )
    chosen = setting(tmp_path, *systems)
    table = item_map.compute(chosen)
    assert table["view"].unique(maintain_order=True).to_list() == list(item_map.VIEWS)
    kinds = {place.name.rsplit("-", 1)[0] for place in (tmp_path / "stages").iterdir()}
    assert kinds == {"mx-acmr", "uk-acmr", "all-acmr"}
    assert len(list((tmp_path / "stages").glob("??-acmr-*"))) == 2  # the two models alone
    # Without market vectors an item is in one place, whatever the market.
    bare = table.filter(view=item_map.VIEWS[1])
    both = bare.filter(pl.len().over("item_id") == 2)
    assert len(both) > 4
    split = chosen.protocol.split(chosen.data, 0)
    pretrained = systems[1].model_copy(
        update={"config": {**systems[1].config, "fine_tuning": None}}
    )
    models = [fit_system(chosen, pretrained, split, market) for market in chosen.markets]
    rows = split.train.items.rows(both["item_id"].unique().to_list())
    first, second = (model.item_vectors(rows) for model in models)
    np.testing.assert_array_equal(first, second)


def test_wrong_systems_are_refused(tmp_path):
    with pytest.raises(UsageError, match="two systems"):
        distillation_map.compute(setting(tmp_path, dcmpt()))
    with pytest.raises(UsageError, match="three systems"):
        item_map.compute(setting(tmp_path, acmr()))
    with pytest.raises(UsageError, match="popularity has no item vectors"):
        map_table(setting(tmp_path, POPULARITY), {"one": POPULARITY})
