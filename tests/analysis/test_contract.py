"""What every analysis promises: a full table, and a picture that the table alone decides."""

import io

import polars as pl
import pytest
from tests.analysis.tiny import EASE, POPULARITY, acmr, dcmpt
from tests.small import markets, result_of

from crossmarket.analysis.registry import ANALYSES, find_analysis
from crossmarket.analysis.run import draw_table, run_analysis
from crossmarket.errors import UsageError
from crossmarket.experiments.systems import SystemConfig, known_systems

KNN = SystemConfig(title="Item kNN", model="item-knn")

#: Fields of the setting in which an analysis takes a moment; other analyses get `CHEAP`.
CHEAP = {"systems": (POPULARITY, KNN)}
SETTINGS = {
    "item-groups": {"systems": (POPULARITY, dcmpt()), "seeds": (0, 1)},
    "launch-curve": {"systems": (POPULARITY, EASE), "seeds": (0, 1)},
    "transfer-matrix": {"systems": (EASE,), "seeds": (0, 1)},
    "source-gains": {"systems": (POPULARITY, EASE, KNN)},
    "prompt-count": {"systems": (dcmpt(),), "markets": ("mx",)},
    "loss-weights": {"systems": (dcmpt(),), "markets": ("mx",)},
    "acmr-sensitivity": {"systems": (acmr(),), "markets": ("mx",)},
    "distillation-map": {
        "systems": (dcmpt("Before", "no-distillation"), dcmpt()),
        "markets": ("mx", "uk"),
    },
    "item-map": {
        "systems": (
            acmr("Alone", "single-market"),
            acmr("Without vectors", "no-market-embedding"),
            acmr(),
        ),
        "markets": ("mx", "uk"),
    },
    "attention": {"systems": (acmr(),)},
}


def setting_of(analysis, folder):
    chosen = SETTINGS.get(analysis.name, CHEAP if analysis.systems else {})
    return analysis.setting(result_of(markets()), folder, **chosen)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each analysis, computed once."""
    tables = {}

    def make(name):
        if name not in tables:
            folder = tmp_path_factory.mktemp(name)
            analysis = ANALYSES[name]
            found = run_analysis(analysis, setting_of(analysis, folder / "work"), folder / "out")
            tables[name] = (*found, folder)
        return tables[name]

    return make


@pytest.mark.parametrize("name", ANALYSES)
def test_a_table_is_full_and_finite(made, name):
    table, paths, _ = made(name)
    assert table.height > 0
    assert table.columns == [column.lower() for column in table.columns]
    for column in table.iter_columns():
        assert column.null_count() == 0, column.name
        if column.dtype.is_float():
            assert column.is_finite().all(), column.name
    assert [path.suffix for path in paths] == [".csv", ".svg", ".png", ".json"]
    assert all(path.stat().st_size > 100 for path in paths)


@pytest.mark.parametrize("name", ANALYSES)
def test_the_csv_alone_gives_the_same_picture(made, name, tmp_path):
    _, (csv, *pictures, _), _ = made(name)
    drawn = [tmp_path / path.name for path in pictures]
    draw_table(ANALYSES[name], pl.read_csv(io.BytesIO(csv.read_bytes())), drawn)
    for first, second in zip(pictures, drawn, strict=True):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("name", ANALYSES)
def test_what_is_in_the_folder_is_not_computed_again(made, name, monkeypatch):
    table, _, folder = made(name)
    analysis = ANALYSES[name]

    def refuse(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr("crossmarket.experiments.compare.fit_target", refuse)
    again = analysis.compute(setting_of(analysis, folder / "work"))
    assert again.equals(table)


@pytest.mark.parametrize("name", ANALYSES)
def test_the_systems_it_looks_at_are_in_the_catalogue(name):
    assert set(ANALYSES[name].systems) <= set(known_systems())


def test_unknown_names_and_wrong_systems_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no analysis 'x'; choose from: market-statistics"):
        find_analysis("x")
    with pytest.raises(UsageError, match="leave out the systems"):
        ANALYSES["market-statistics"].setting(result_of(markets()), tmp_path, systems=(EASE,))
    with pytest.raises(UsageError, match="no market 'xx'"):
        ANALYSES["item-groups"].setting(result_of(markets()), tmp_path, markets=("xx",))
