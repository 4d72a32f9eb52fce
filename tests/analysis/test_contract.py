"""What every analysis promises: a full table, and a picture that the table alone decides."""

import io

import polars as pl
import pytest
from tests.analysis.tiny import EASE, POPULARITY, acmr, dcmpt
from tests.small import markets, result_of

from crossmarket.analysis.registry import ANALYSES, find_analysis
from crossmarket.analysis.run import draw_table, run_analysis
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
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


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_keeps_its_promises(name, tmp_path, monkeypatch):
    """One test, as each promise is about the same table, which takes seconds to make."""
    analysis, out = ANALYSES[name], tmp_path / "out"
    table, paths = run_analysis(analysis, setting_of(analysis, tmp_path / "work"), out)
    assert_full_and_finite(table)
    assert [path.suffix for path in paths] == [".csv", ".svg", ".png", ".json"]
    assert all(path.stat().st_size > 100 for path in paths)

    csv, *pictures, _ = paths
    drawn = [tmp_path / path.name for path in pictures]
    draw_table(analysis, pl.read_csv(io.BytesIO(csv.read_bytes())), drawn)
    for first, second in zip(pictures, drawn, strict=True):
        assert first.read_bytes() == second.read_bytes(), "the csv alone gives another picture"

    def refuse(*_, **__):
        raise AssertionError("what is in the folder was trained again")

    monkeypatch.setattr("crossmarket.training.stage.Stage.finish", refuse)
    monkeypatch.setattr("crossmarket.experiments.compare.Comparison._compute", refuse)
    assert analysis.compute(setting_of(analysis, tmp_path / "work")).equals(table)


def assert_full_and_finite(table):
    assert table.height > 0
    assert table.columns == [column.lower() for column in table.columns]
    for column in table.iter_columns():
        # One observation has no standard error.
        if not column.name.endswith("_error"):
            assert column.null_count() == 0, column.name
        if column.dtype.is_float():
            assert column.drop_nulls().is_finite().all(), column.name


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


@pytest.mark.parametrize("name", ["launch-curve", "leak"])
def test_an_analysis_of_one_protocol_refuses_another(name, tmp_path):
    chosen = {"systems": (POPULARITY,), "protocol": Protocol(name="forec")}
    setting = ANALYSES[name].setting(result_of(markets()), tmp_path, **chosen)
    with pytest.raises(UsageError, match="about ratio-full; leave out the protocol"):
        ANALYSES[name].compute(setting)
