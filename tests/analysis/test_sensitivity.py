"""A varied setting: what is ranked, with which values, and what it costs to look again."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from tests.analysis.tiny import EASE, dcmpt, setting

from crossmarket.analysis import fitted
from crossmarket.analysis.fitted import fit_system, validation_metrics
from crossmarket.analysis.sensitivity import ANALYSES, compute
from crossmarket.errors import UsageError
from crossmarket.experiments import compare as comparing

GRID = {"reg": (10.0, 250.0)}


def by_hand(model, split, market):
    """NDCG@10 and recall@10 of the validation items among what a user has not learned from."""
    train, valid = split.train.matrix(market).toarray(), split.valid.matrix(market).toarray()
    ndcg, recall = [], []
    for user in np.flatnonzero(valid.sum(axis=1)):
        free = [item for item in model.catalogue if not train[user, item]]
        scores = model.score(np.array([user]), np.array(free))[0]
        best = [free[place] for place in np.argsort(-scores, kind="stable")[:10]]
        hits = np.array([float(valid[user, item]) for item in best])
        count = int(valid[user].sum())
        gains = 1 / np.log2(np.arange(2, 12))
        ndcg.append((hits * gains[: len(hits)]).sum() / gains[: min(count, 10)].sum())
        recall.append(hits.sum() / count)
    return np.mean(ndcg), np.mean(recall)


@pytest.mark.parametrize("options", [{}, {"refit": True, "history": "train+valid"}], ids=str)
def test_the_values_are_those_of_the_validation_part(tmp_path, options):
    chosen = setting(tmp_path, EASE, seeds=(0, 1), **options)
    table = compute(chosen, GRID)
    keys = ["system", "setting", "value", "own", "market", "seed", "part"]
    assert table.columns == [*keys, "ndcg@10", "recall@10"]
    rows = [
        ("EASE", "reg", value, value == 20, market, seed, "validation")
        for value in (10, 20, 250)  # the grid's, and the one in use
        for market in ("mx", "uk")
        for seed in (0, 1)
    ]
    assert table.select(keys).rows() == rows
    plain = setting(tmp_path / "by-hand", EASE, seeds=(0, 1))
    for value, market, seed, ndcg, recall in table.select(
        "value", "market", "seed", "ndcg@10", "recall@10"
    ).iter_rows():
        split = plain.protocol.split(plain.data, seed)
        system = EASE.model_copy(update={"config": {"reg": value}})
        model = fit_system(plain, system, split, market)
        assert (ndcg, recall) == pytest.approx(by_hand(model, split, market), abs=1e-9)


def test_the_test_part_plays_no_role(tmp_path):
    chosen = setting(tmp_path, EASE)
    split = chosen.protocol.split(chosen.data, 0)
    model = fit_system(chosen, EASE, split, "uk")
    nothing = {name: split.test.edges(name).select(slice(0, 0)) for name in split.test.markets}
    bare = replace(split, test=split.test.replace_edges(nothing))
    found = validation_metrics(model, chosen.protocol, split, "uk")
    assert found["users"] > 10
    assert validation_metrics(model, chosen.protocol, bare, "uk") == found


def test_the_value_in_use_is_marked_and_gives_what_the_system_gives(tmp_path):
    chosen = setting(tmp_path, dcmpt(), names=("mx",))
    table = compute(chosen, {"num_prompts": (1, 2, 3), "alpha": (0.5, 1.0)})
    marked = [(row["setting"], row["value"]) for row in table.iter_rows(named=True) if row["own"]]
    assert marked == [("num_prompts", 2.0), ("alpha", 1.0)]
    same = table.filter("own")["ndcg@10"]
    assert same[0] == same[1]


def test_nothing_is_fitted_twice(tmp_path, monkeypatch):
    chosen = setting(tmp_path, EASE)
    fits = []
    real = comparing.fit_target
    monkeypatch.setattr(
        comparing, "fit_target", lambda *args, **more: fits.append(1) or real(*args, **more)
    )
    first = compute(chosen, GRID)
    assert len(fits) == 6
    assert compute(chosen, GRID).equals(first)
    compute(chosen, {"reg": (10.0, 30.0)})
    assert len(fits) == 8


def test_a_system_without_the_setting_is_refused(tmp_path):
    with pytest.raises(UsageError, match="num_prompts"):
        compute(setting(tmp_path, EASE), {"num_prompts": (1, 2)})


def test_the_grids_are_valid_for_their_systems(tmp_path):
    for analysis in ANALYSES:
        assert isinstance(analysis.compute, partial)
        chosen = analysis.setting(setting(tmp_path).data, tmp_path)
        (system,) = chosen.systems
        for name, values in analysis.compute.keywords["grid"].items():
            for value in values:
                fitted.build_model(system.model, system.preset, {**system.config, name: value})
