"""How overrides are laid over defaults."""

import pytest

from crossmarket.errors import UsageError
from crossmarket.models.config import (
    ModelConfig,
    TrainingConfig,
    config_of,
    flat_values,
    merge_values,
)
from crossmarket.training.loop import SELECTION_METRIC, Schedule


def test_nested_values_are_merged_leaf_by_leaf():
    start = {"a": {"x": 1, "y": {"z": 2}}, "b": 3}
    merged = merge_values(start, {"a": {"y": {"z": 5}, "w": 6}, "b": {"c": 7}, "d": 8})
    assert merged == {"a": {"x": 1, "y": {"z": 5}, "w": 6}, "b": {"c": 7}, "d": 8}
    assert start == {"a": {"x": 1, "y": {"z": 2}}, "b": 3}


def test_flat_values_name_their_place():
    assert flat_values({"a": {"x": 1, "y": {"z": 2}}, "b": 3}) == {"a.x": 1, "a.y.z": 2, "b": 3}


class Nested(ModelConfig):
    """A config with a part."""

    training: TrainingConfig = TrainingConfig(epochs=3)
    width: int = 8


class NestedMore(Nested):
    """A config that builds on another."""

    depth: int = 1


def test_the_last_override_wins():
    found = config_of("toy", Nested, {"width": 2}, {"training": {"patience": 4}}, {"width": 5})
    assert found == Nested(width=5, training=TrainingConfig(epochs=3, patience=4))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"depth": 1}, "toy: setting 'depth': extra inputs are not permitted"),
        ({"training": {"epochs": -1}}, "toy: setting 'training.epochs': input should be greater"),
    ],
)
def test_a_wrong_setting_is_named(override, message):
    with pytest.raises(UsageError, match=message):
        config_of("toy", Nested, override)


def test_a_schedule_is_what_the_settings_say():
    settings = TrainingConfig(learning_rate=0.5, epochs=7, patience=2, evaluate_every=3)
    assert settings.schedule(0.25) == Schedule(7, 0.5, 2, 3, SELECTION_METRIC, 0.25)


def test_a_part_keeps_what_it_knows():
    whole = NestedMore(width=2, training=TrainingConfig(epochs=5), depth=9)
    assert whole.part(Nested) == Nested(width=2, training=TrainingConfig(epochs=5))
    assert whole.training.part(ModelConfig) == ModelConfig()
