import pytest

from crossmarket.models.facts import settings, split_description, supports, trainable_counts
from crossmarket.models.popularity import Popularity
from crossmarket.models.registry import MODELS, build_model


@pytest.mark.parametrize(
    ("text", "meaning", "source"),
    [
        ("Width of a vector. Source: DCMPT, 64.", "Width of a vector", "DCMPT, 64"),
        ("Rate of Adam. Source: DCMPT, 1e-3.", "Rate of Adam", "DCMPT, 1e-3"),
        ("M: basis prompts. Source: DCMPT Fig. 5, 10", "M: basis prompts", "DCMPT Fig. 5, 10"),
        ("Pre-training (eq. 4).", "Pre-training (eq. 4)", ""),
        ("", "", ""),
    ],
)
def test_a_description_is_a_meaning_and_a_source(text, meaning, source):
    assert split_description(text) == (meaning, source)


@pytest.mark.parametrize("name", MODELS)
def test_the_settings_of_a_system_are_its_whole_config(name):
    model = build_model(name)
    again = {}
    for setting in settings(model.config):
        place = again
        *parents, last = setting.field.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = setting.value
        assert setting.meaning
    assert again == model.get_config()


def test_settings_follow_the_preset():
    paper = {setting.field: setting for setting in settings(build_model("dcmpt", "paper").config)}
    default = {setting.field: setting for setting in settings(build_model("dcmpt").config)}
    assert list(paper) == list(default)
    assert (paper["backbone.loss"].value, default["backbone.loss"].value) == ("bpr", "softmax")
    assert paper["backbone.loss"].source == default["backbone.loss"].source != ""


def test_what_a_system_supports():
    assert supports(Popularity) == ["sources", "fold-in", "cold users"]
    assert supports(MODELS["gmf"]) == ["sources"]


def test_every_built_in_system_is_counted_and_no_other():
    assert trainable_counts().keys() == MODELS.keys()
