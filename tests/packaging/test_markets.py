"""Markets that come and go alone: nobody else's bytes change."""

import pytest
from tests.artifact.making import TARGETS, copy_of, packaged
from tests.commands import tree

from crossmarket import files
from crossmarket.artifact.artifact import Artifact
from crossmarket.errors import DataError, UsageError
from crossmarket.packaging.markets import add_market, remove_market


@pytest.fixture
def artifact(tmp_path):
    return copy_of("dcmpt", tmp_path / "artifact")


@pytest.mark.parametrize("exchanges", [True, False])
def test_removed_and_added_again_it_is_the_same_artifact(artifact, monkeypatch, exchanges):
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    whole = tree(artifact)
    before = Artifact.open(artifact)
    remove_market(artifact, "mx")
    without = Artifact.from_pretrained(artifact)
    assert list(without.markets) == ["de", "uk"]
    for market in ("de", "uk"):
        name = f"markets/{market}/manifest.json"
        assert tree(artifact)[name] == whole[name]
        assert without.markets[market].version == before.markets[market].version
    assert add_market(artifact, packaged("dcmpt")[1] / "markets" / "mx") == "mx"
    assert tree(artifact) == whole
    assert [path.name for path in artifact.parent.iterdir()] == ["artifact"]


def test_other_markets_files_are_not_written_again(artifact):
    def places(market):
        folder = artifact / "markets" / market
        return {path.name: path.stat().st_ino for path in folder.iterdir()}

    before = {market: places(market) for market in TARGETS}
    add_market(artifact, packaged("dcmpt")[1] / "markets" / "mx")
    assert places("de") == before["de"]
    assert places("uk") == before["uk"]
    assert places("mx").keys() == before["mx"].keys()


def test_a_damaged_market_is_replaced_or_removed(artifact):
    broken = artifact / "markets" / "mx" / "seen.parquet"
    broken.write_bytes(b"x")
    assert list(Artifact.open(artifact).unavailable) == ["mx"]
    add_market(artifact, packaged("dcmpt")[1] / "markets" / "mx")
    assert tree(artifact) == tree(packaged("dcmpt")[1])
    (artifact / "markets" / "mx" / "manifest.json").write_bytes(b"x")
    with pytest.raises(DataError, match="remove or replace market 'mx' first"):
        remove_market(artifact, "de")
    remove_market(artifact, "mx")
    assert list(Artifact.from_pretrained(artifact).markets) == ["de", "uk"]


def test_what_does_not_belong_is_refused_and_changes_nothing(artifact, tmp_path):
    before = tree(artifact)
    with pytest.raises(DataError, match="backbone"):
        add_market(artifact, packaged("dcmpt, paper")[1] / "markets" / "mx")
    with pytest.raises(DataError, match="is of ease for market 'mx'"):
        add_market(artifact, packaged("ease")[1] / "markets" / "mx")
    with pytest.raises(DataError, match="no folder that can be read"):
        add_market(artifact, tmp_path / "nothing")
    with pytest.raises(UsageError, match="has no market 'fr'; it has: de, mx, uk"):
        remove_market(artifact, "fr")
    assert tree(artifact) == before
