"""What the base class does for a system that gives it the least it must."""

from typing import ClassVar

import numpy as np
import pytest
from tests.toys import TARGET

from crossmarket.errors import UsageError
from crossmarket.models import top_lists
from crossmarket.models.base import Recommender
from crossmarket.models.config import ModelConfig


class Alphabetical(Recommender):
    """Scores an item by its row; the lower the better."""

    name = "alphabetical"
    summary = "items in the order of their ids"
    config_class: ClassVar[type[ModelConfig]] = ModelConfig

    def _fit(self, train, valid):
        pass

    def _score(self, users, items):
        return np.tile(-items.astype(np.float32), (len(users), 1))


@pytest.fixture
def model(split):
    return Alphabetical().fit(split.train, target=TARGET)


def test_the_least_a_system_gives_is_enough_for_lists(model, split):
    table = model.recommend(["u03"], k=3)
    seen = split.train.matrix(TARGET)[[split.train.users(TARGET).rows(["u03"])[0]]].indices
    unseen = np.setdiff1d(model.catalogue, seen)[:3]
    assert table["item_id"].to_list() == split.train.items.take(unseen)
    assert table["score"].to_list() == (-unseen.astype(float)).tolist()
    assert model.num_trainable() == 0
    assert model.get_config() == {}
    assert model.settled().config == model.config


def test_without_fold_in_a_bare_history_is_refused(model, split):
    with pytest.raises(UsageError, match="alphabetical cannot score a bare history; name a user"):
        model.recommend(histories=[["i20"]])
    with pytest.raises(UsageError, match="cannot score a bare history"):
        model.score_histories(split.train.matrix(TARGET))


def test_a_claim_without_the_deed_is_a_defect(model, split, monkeypatch):
    monkeypatch.setattr(Alphabetical, "supports_fold_in", True)
    with pytest.raises(AssertionError, match="claims fold-in"):
        model.score_histories(split.train.matrix(TARGET))


def test_many_users_are_recommended_to_in_blocks(model, split, monkeypatch):
    names = split.train.users(TARGET).ids.to_list()
    whole = model.recommend(names, k=4)
    monkeypatch.setattr(top_lists, "_BLOCK", 4)
    assert model.recommend(names, k=4).equals(whole)


def test_a_part_of_a_nested_setting_leaves_its_other_parts_alone():
    """The field's own default counts, not that of the nested config's class."""

    class Inner(ModelConfig):
        rate: float = 0.001
        steps: int = 7

    class Outer(ModelConfig):
        inner: Inner | None = Inner(rate=0.5)

    class Nested(Alphabetical):
        config_class: ClassVar[type[ModelConfig]] = Outer
        presets: ClassVar = {"slow": {"inner": {"rate": 0.25}}, "none": {"inner": None}}

    assert Nested.from_config({"inner": {"steps": 2}}).config.inner == Inner(rate=0.5, steps=2)
    slow = Nested.from_config({"inner": {"steps": 2}}, preset="slow").config.inner
    assert slow == Inner(rate=0.25, steps=2)
    assert Nested.from_config(preset="none").config.inner is None
    again = Nested.from_config({"inner": {"steps": 3}}, preset="none").config.inner
    assert again == Inner(steps=3)
