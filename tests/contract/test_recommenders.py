"""The contract of `Recommender`, on every registered system under each of its presets."""

import json
import re
from typing import get_args

import numpy as np
import polars as pl
import pytest
from tests.toys import TARGET, build_tiny

from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.models.registry import MODELS, build_model, find_model
from crossmarket.models.validation import Validation
from crossmarket.training import stage
from crossmarket.training.options import RunOptions

SYSTEMS = [(name, preset) for name, model in MODELS.items() for preset in model.presets or [None]]
SEED = 5
#: Large batches and narrow networks: a fit is a handful of small steps.
SHORT = {"batch_size": 512, "batch_pairs": 128, "steps": 2, "hidden": (16, 8), "num_layers": 2}


def label(system):
    name, preset = system
    return name if preset is None else f"{name}:{preset}"


def build(system, values=None, options=None, **more):
    name, preset = system
    options = options or RunOptions(seed=SEED, threads=1)
    return build_tiny(MODELS[name], options, preset, values, **{**SHORT, **more})


def fields_of(system):
    return MODELS[system[0]].config_class.model_fields


@pytest.fixture(scope="module", params=SYSTEMS, ids=label)
def system(request):
    return request.param


@pytest.fixture(scope="module")
def model(system, split):
    """Fitted once; a test that changes it puts it back."""
    return build(system).fit(split.train, target=TARGET, valid=split.valid)


@pytest.fixture(scope="module")
def users(split):
    return np.arange(len(split.train.users(TARGET)))


@pytest.fixture(scope="module")
def names(split):
    return split.train.users(TARGET).ids.to_list()


@pytest.fixture(scope="module")
def sold(split):
    return split.train.items.take(split.train.catalogue(TARGET))


def rows_of(table):
    return {
        user: part.select("item_id", "score", "rank").rows()
        for (user,), part in table.partition_by("user_id", as_dict=True).items()
    }


# -- facts ------------------------------------------------------------------------------------


def test_a_system_says_what_it_is(system):
    model_class = MODELS[system[0]]
    assert model_class.name == system[0]
    assert model_class.summary
    assert "\n" not in model_class.summary
    for name, field in model_class.config_class.model_fields.items():
        assert field.description, name


# -- scores -----------------------------------------------------------------------------------


def test_scores_are_finite_for_every_user_and_item_of_the_market(model, users, sold):
    scores = model.score(users)
    assert scores.shape == (len(users), len(sold))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    assert scores[: len(users) - 1].std() > 0


def test_users_and_items_may_come_in_any_order_and_number(model, split, users):
    everything = model.score(users)
    chosen, columns = np.array([3, 0, 3]), np.array([7, 2, 0, 2])
    items = split.train.catalogue(TARGET)[columns]
    some = model.score(chosen, items)
    assert some.dtype == np.float32
    np.testing.assert_allclose(some, everything[chosen][:, columns], rtol=1e-5, atol=1e-6)
    assert model.score(users[:0]).shape == (0, everything.shape[1])
    assert model.score(chosen, items[:0]).shape == (3, 0)


def test_a_list_for_each_user_is_scored_as_the_whole_catalogue_is(model, split, users):
    everything = model.score(users)
    generator = np.random.default_rng(0)
    columns = generator.integers(everything.shape[1], size=(len(users), 7))
    lists = model.score_lists(users, split.train.catalogue(TARGET)[columns])
    assert lists.dtype == np.float32
    expected = np.take_along_axis(everything, columns, axis=1)
    np.testing.assert_allclose(lists, expected, rtol=1e-4, atol=1e-5)
    assert model.score_lists(users[:0], columns[:0]).shape == (0, 7)


def test_items_that_the_market_does_not_sell_can_be_scored(system, model, split, users):
    everywhere = np.arange(len(split.train.items))
    scores = model.score(users, everywhere)
    assert np.isfinite(scores).all()
    sold_here = np.isin(everywhere, split.train.catalogue(TARGET))
    np.testing.assert_allclose(scores[:, sold_here], model.score(users), rtol=1e-4, atol=1e-5)
    if not MODELS[system[0]].uses_sources:
        best = scores[:, sold_here].max(axis=1)
        assert (scores[:, ~sold_here].max(axis=1) <= best).all()


def test_scoring_twice_gives_the_same_and_the_answer_may_be_overwritten(model, users):
    first = model.score(users)
    kept = first.copy()
    first[:] = -np.inf
    np.testing.assert_array_equal(model.score(users), kept)


def test_the_same_seed_gives_the_same_bytes(system, model, split, users):
    again = build(system).fit(split.train, target=TARGET, valid=split.valid)
    assert model.score(users).tobytes() == again.score(users).tobytes()


def test_stages_in_a_workspace_are_read_by_the_next_fit(system, model, split, users, tmp_path):
    """One as after a kill: nothing in memory, all stages on disk."""
    for _ in range(2):
        files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
        options = RunOptions(seed=SEED, threads=1, workspace=tmp_path)
        again = build(system, options=options).fit(split.train, target=TARGET, valid=split.valid)
        np.testing.assert_array_equal(again.score(users), model.score(users))
    assert {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()
    } == files


def test_other_targets_before_it_change_nothing(system, model, split, users):
    options = RunOptions(seed=SEED, threads=1)
    for target in ("aa", TARGET):
        last = build(system, options=options)
        last.fit(split.train, target=target, valid=split.valid)
    assert model.score(users).tobytes() == last.score(users).tobytes()


# -- lists ------------------------------------------------------------------------------------


def test_lists_have_their_columns(model, names):
    table = model.recommend(names, k=4)
    assert dict(table.schema) == {
        "market": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "score": pl.Float32(),
        "rank": pl.Int32(),
    }
    assert table["market"].unique().to_list() == [TARGET]
    assert table["user_id"].unique(maintain_order=True).to_list() == names
    assert model.recommend([], k=4).schema == table.schema
    assert model.recommend([], k=4).is_empty()


def test_lists_are_the_best_unseen_items_in_order(model, split, users, names, sold):
    scores = model.score(users)
    seen = split.train.matrix(TARGET)[:, split.train.catalogue(TARGET)].toarray() > 0
    lists = rows_of(model.recommend(names, k=5))
    for row, name in enumerate(names):
        order = sorted(
            (column for column in range(len(sold)) if not seen[row, column]),
            key=lambda column: (-scores[row, column], column),
        )
        assert [rank for _, _, rank in lists[name]] == [1, 2, 3, 4, 5]
        values = [score for _, score, _ in lists[name]]
        assert values == sorted(values, reverse=True)
        best = [scores[row, column] for column in order[:5]]
        np.testing.assert_allclose(values, best, rtol=1e-5, atol=1e-6)
        items = [item for item, _, _ in lists[name]]
        assert len(set(items)) == 5
        assert set(items) <= {sold[column] for column in order}


def test_seen_items_stay_out_only_where_asked(model, split, names, sold):
    everything = model.recommend(names, k=len(sold), exclude_seen=False)
    unseen = model.recommend(names, k=len(sold))
    assert len(everything) == len(names) * len(sold)
    assert len(unseen) == len(everything) - len(split.train.edges(TARGET))
    seen = split.train.to_frame().filter(market=TARGET)
    assert unseen.join(seen, on=["user_id", "item_id"]).is_empty()


def test_only_the_named_items_and_never_the_excluded(model, names, sold):
    allowed = [*sold[3:9], "no such item", "i00"]  # i00 is sold elsewhere only
    table = model.recommend(names[:4], k=50, items=allowed, exclude=[sold[4]], exclude_seen=False)
    assert set(table["item_id"]) == set(sold[3:9]) - {sold[4]}
    assert table.group_by("user_id").len()["len"].to_list() == [5] * 4
    without = model.recommend(names, k=50, exclude=sold[:10])
    assert not set(without["item_id"]) & set(sold[:10])
    assert model.recommend(names[:1], items=[]).is_empty()


def test_a_user_without_training_interactions_gets_a_list(model):
    table = model.recommend(["newcomer"], k=3)
    assert table["rank"].to_list() == [1, 2, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"users": ["nobody"]}, "market 'bb' has no user 'nobody'"),
        ({"users": ["u00", "u23"]}, "no user 'u23'"),  # a user of another market
        ({"users": ["u00"], "k": 0}, "k=0 asks for no items"),
        ({"users": ["u00"], "k": -3}, "at least 1"),
        ({}, "either users or histories"),
        ({"users": ["u00"], "histories": [["i20"]]}, "either users or histories"),
        ({"histories": [["i20"], []]}, "none of the items of history 2 is known"),
        ({"histories": [["no such item"]]}, "none of the items of history 1 is known"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(model, wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        model.recommend(**wrong)
    assert "\n" not in str(caught.value)


def test_an_unknown_market_is_refused(system, split):
    with pytest.raises(UsageError, match="no market 'xx' in these data; choose from: aa, bb, cc"):
        build(system).fit(split.train, target="xx")


# -- histories --------------------------------------------------------------------------------


def test_a_bare_history_gets_a_list_where_the_system_can_fold_in(model, sold):
    # The items may be sold here or elsewhere; unknown ones are passed over.
    histories = [[sold[0], sold[5], "i00"], [sold[7], "no such item"]]
    if not model.supports_fold_in:
        with pytest.raises(UsageError, match="cannot score a bare history"):
            model.recommend(histories=histories)
        return
    table = model.recommend(histories=histories, k=6)
    lists = rows_of(table)
    assert list(lists) == ["history-1", "history-2"]
    for name, history in zip(lists, histories, strict=True):
        items = {item for item, _, _ in lists[name]}
        assert len(items) == 6
        assert items <= set(sold) - set(history)
    matrix = model.train.matrix(TARGET)[:4]
    scores = model.score_histories(matrix)
    assert scores.shape == (4, len(sold))
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()
    some = model.score_histories(matrix, model.catalogue[[4, 1]])
    np.testing.assert_allclose(some, scores[:, [4, 1]], rtol=1e-5, atol=1e-6)
    assert model.recommend(histories=[], k=6).schema == table.schema


def test_a_new_history_changes_what_is_excluded_and_back(model, split, users, names):
    before = model.score(users)
    later = split.refit().train
    held_out = split.valid.to_frame().filter(market=TARGET)
    offered = model.recommend(names, k=100).join(held_out, on=["user_id", "item_id"])
    assert len(offered) == len(held_out)
    try:
        assert model.set_history(later) is model
        table = model.recommend(names, k=100)
        assert table.join(held_out, on=["user_id", "item_id"]).is_empty()
        assert np.isfinite(model.score(users)).all()
    finally:
        model.set_history(split.train)
    np.testing.assert_array_equal(model.score(users), before)


# -- configs ----------------------------------------------------------------------------------


def test_a_config_survives_json(system, model, split, users):
    values = json.loads(json.dumps(model.get_config()))
    again = MODELS[system[0]].from_config(values, options=RunOptions(seed=SEED, threads=1))
    assert again.config == model.config
    again.fit(split.train, target=TARGET, valid=split.valid)
    np.testing.assert_array_equal(again.score(users), model.score(users))


def test_an_unknown_setting_or_preset_is_refused_by_name(system):
    with pytest.raises(UsageError, match="setting 'epocs'"):
        build(system, {"epocs": 3})
    model_class = MODELS[system[0]]
    known = ", ".join(model_class.presets) or "none"
    with pytest.raises(UsageError, match=f"has no preset 'fancy'; it has: {re.escape(known)}"):
        model_class.from_config(preset="fancy")


def test_a_value_out_of_range_names_its_place(system):
    for name in ("backbone", "tuning"):
        if name in fields_of(system):
            with pytest.raises(UsageError, match=f"setting '{name}.num_layers'"):
                build(system, {name: {"num_layers": -1}})


def test_a_config_is_frozen(model):
    name = next(iter(type(model.config).model_fields))
    with pytest.raises(ValueError, match="frozen"):
        setattr(model.config, name, None)


# -- what a fit reads -------------------------------------------------------------------------


def widest(system, narrow=False):
    """Settings under which all markets are learned from, or the target alone."""
    field = fields_of(system).get("markets")
    if field is None:
        return {}
    (other,) = set(get_args(field.annotation)) - {"target"}
    return {"markets": "target" if narrow else other}


def test_sources_change_the_scores_exactly_where_the_system_says_so(system, split, users):
    def scores(train, values):
        model = build(system, values, learning_rate=0.05).fit(train, target=TARGET)
        found = model.score(users)
        return found / np.abs(found).max()  # decay counts from the newest sale of any market

    alone = split.train.select_markets([TARGET])
    changed = not np.allclose(
        scores(split.train, widest(system)), scores(alone, widest(system)), rtol=1e-4
    )
    assert changed == MODELS[system[0]].uses_sources
    if "markets" in fields_of(system):
        narrow = widest(system, narrow=True)
        np.testing.assert_allclose(
            scores(split.train, narrow), scores(alone, narrow), rtol=1e-4, atol=1e-6
        )


def test_held_out_interactions_never_enter_the_fit(system, split, users, monkeypatch):
    """With early stopping out of the way, other held-out interactions change nothing at all."""
    monkeypatch.setattr(Validation, "evaluate", lambda self, score: {})
    monkeypatch.setattr(stage, "content_hash", lambda key: "0123456789abcdef" * 4)
    # A weight that is chosen on validation would be such a choice, too.
    values = {"popularity": (0.3,)} if "popularity" in fields_of(system) else {}
    found = []
    for valid in (None, split.valid, split.test):
        # One stage address for all stages: nothing may be remembered from one to the next.
        options = RunOptions(seed=SEED, threads=1, memory=Forgetful())
        model = build(system, values, options).fit(split.train, target=TARGET, valid=valid)
        found.append(model.score(users).tobytes())
    assert found[0] == found[1] == found[2]


class Forgetful(dict):
    """Keeps nothing."""

    def __setitem__(self, key, value):
        pass


def test_a_fit_leaves_the_data_as_they_were(system, split):
    def fresh(part):
        return part.replace_edges({}).fingerprint

    before = fresh(split.train), fresh(split.valid)
    model = build(system).fit(split.train, target=TARGET, valid=split.valid)
    model.recommend(["u00"])
    assert (fresh(split.train), fresh(split.valid)) == before


def test_one_market_is_enough(system, split, users):
    alone = split.train.select_markets([TARGET]).drop_unsold_items()
    valid = split.valid.select_markets([TARGET]).drop_unsold_items()
    assert isinstance(alone, MarketDataset)
    model = build(system).fit(alone, target=TARGET, valid=valid)
    assert np.isfinite(model.score(users)).all()


# -- after the choices are made ---------------------------------------------------------------


def test_settled_choices_can_be_fitted_without_validation(system, model, split, users):
    settled = model.settled()
    assert type(settled) is type(model)
    assert settled is not model
    assert settled.options is model.options
    assert not hasattr(settled, "target")
    settled.fit(split.refit().train, target=TARGET)
    assert np.isfinite(settled.score(users)).all()
    assert settled.settled().config == settled.config


def test_the_number_of_trained_scalars_is_a_fact_of_the_data(system, model, split):
    count = model.num_trainable()
    assert isinstance(count, int)
    assert count >= 0
    other = build(system, options=RunOptions(seed=SEED + 1, threads=1))
    assert other.fit(split.train, target=TARGET).num_trainable() == count


# -- registry ---------------------------------------------------------------------------------


def test_the_registry_finds_by_name_and_says_what_there_is():
    for name, model_class in MODELS.items():
        assert find_model(name) is model_class
    with pytest.raises(UsageError, match="there is no model 'bert'; choose from: dcmpt, "):
        find_model("bert")


def test_the_default_preset_is_taken_where_there_is_one():
    for name, model_class in MODELS.items():
        preset = "default" if "default" in model_class.presets else None
        assert build_model(name).config == model_class.from_config(preset=preset).config
    assert build_model("ease", config={"reg": 7}).get_config()["reg"] == 7.0
    named = build_model("dcmpt", preset="paper", config={"backbone": {"epochs": 3}})
    assert named.get_config()["backbone"]["epochs"] == 3
