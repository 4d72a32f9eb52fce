"""Systems of other packages: found, checked, named, and never in the way of the others."""

import sys

import pytest
from tests.packages import install

from crossmarket.errors import UsageError
from crossmarket.experiments.fitting import stage_folder
from crossmarket.experiments.provenance import versions
from crossmarket.models.popularity import Popularity
from crossmarket.models.registry import (
    MODELS,
    all_models,
    build_model,
    find_model,
    plug_in_versions,
)

OWN = """
from crossmarket.models.popularity import Popularity

class Own(Popularity):
    name = "own"
    presets = {"default": {"markets": "all"}}
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """Installs distributions that this process finds until the test ends."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)

    def add(name, entries, modules=None, **more):
        install(folder, name, entries, modules, **more)

    yield add
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) == str(folder / f"{module}.py"):
            del sys.modules[module]


def sentence(name):
    with pytest.raises(UsageError) as caught:
        find_model(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_system_of_another_package_is_found_by_name(packages):
    packages("own-systems", {"own": "own_module:Own"}, {"own_module": OWN}, version="2.3")
    found = find_model("own")
    assert issubclass(found, Popularity)
    assert found is not Popularity
    assert all_models() == ({**MODELS, "own": found}, [])
    model = build_model("own")
    assert type(model) is found
    assert model.get_config()["markets"] == "all"  # its `default` preset
    assert "own" not in MODELS


def test_a_package_is_imported_when_one_of_its_systems_is_asked_for(packages):
    packages("own-systems", {"own": "own_lazy:Own"}, {"own_lazy": OWN})
    find_model("popularity")
    sentence("bert")
    assert "own_lazy" not in sys.modules
    find_model("own")
    assert "own_lazy" in sys.modules


def test_an_unknown_name_is_answered_with_all_names(packages):
    packages("own-systems", {"own": "own_module:Own"}, {"own_module": OWN})
    assert sentence("bert") == f"there is no model 'bert'; choose from: {', '.join(MODELS)}, own"


def test_records_name_the_package_of_a_system_and_its_version(packages):
    packages("own-systems", {"own": "own_module:Own"}, {"own_module": OWN}, version="2.3")
    assert plug_in_versions(["ease", "own"]) == {"own-systems": "2.3"}
    assert versions("own", "ease") == {**versions(), "own-systems": "2.3"}
    assert versions("ease") == versions()


def test_each_version_of_a_package_has_stages_of_its_own(packages, tmp_path):
    packages("own-systems", {"own": "own_module:Own"}, {"own_module": OWN}, version="2.3")
    assert stage_folder(tmp_path, "own") == tmp_path / "own-systems-2.3"
    assert stage_folder(tmp_path, "dcmpt") == tmp_path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "imported.*: ModuleNotFoundError: No module named 'no_such_"),
        ("class Other: pass", "imported.*: AttributeError: module 'broken_module' has no"),
        ("raise ValueError('two\\nlines')", "imported.*: ValueError: two lines$"),
        ("this is no Python", "imported.*: SyntaxError"),
        ("Own = 3", "used.*: broken_module:Own is no subclass of crossmarket.models.base.Rec"),
        ("class Own: name = 'own'", "used.*: broken_module:Own is no subclass of"),
        (
            "from crossmarket.models.base import Recommender\nclass Own(Recommender): name = 'own'",
            "used.*: broken_module:Own does not write _fit, _score$",
        ),
        (
            "from crossmarket.models.base import Recommender\n"
            "class Own(Recommender):\n    name = 'own'\n    _fit = _score = print",
            "used.*: broken_module:Own does not say its summary, paper, family, config_class$",
        ),
        (OWN.replace('"own"', '"mine"'), "used.*: broken_module:Own has the name 'mine'$"),
        (OWN + "    family = 'magic'\n", "used.*: broken_module:Own has the family 'magic', none"),
        (OWN + "    config_class = dict\n", "used.*: the config_class of broken_module:Own is no"),
    ],
)
def test_a_broken_package_is_one_sentence_and_the_others_work(packages, text, reason):
    packages("sound", {"sound": "sound_module:Own"}, {"sound_module": OWN.replace("own", "sound")})
    packages("broken", {"own": "broken_module:Own"}, {"broken_module": text})
    said = sentence("own")
    assert said.startswith("system 'own' of package broken 1.0 cannot be ")
    with pytest.raises(UsageError, match=reason):
        find_model("own")
    models, broken = all_models()
    assert list(models) == [*MODELS, "sound"]
    assert broken == [said]


def test_a_built_in_system_keeps_its_name(packages):
    packages("thief", {"ease": "own_module:Own"}, {"own_module": OWN})
    assert find_model("ease") is MODELS["ease"]
    models, broken = all_models()
    assert models == MODELS
    assert broken == [
        "system 'ease' of package thief 1.0 is left out: crossmarket has a system of that name"
    ]
    assert versions("ease") == versions()


def test_a_name_in_two_packages_is_refused(packages):
    packages("first", {"own": "own_module:Own"}, {"own_module": OWN})
    packages("second", {"own": "own_module:Own"})
    said = sentence("own")
    assert said == "system 'own' is in packages first and second; remove all but one"
    assert all_models() == (dict(MODELS), [said])
