"""Tuning from an artifact: one market changes or joins, and nothing else by a byte."""

import polars as pl
import pytest
from tests.artifact.making import copy_of, packaged
from tests.commands import tree
from tests.small import markets

from crossmarket.artifact.artifact import Artifact
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import DataError, UsageError
from crossmarket.packaging.markets import remove_market
from crossmarket.packaging.tuning import tune_market
from crossmarket.training.options import RunOptions

OPTIONS = RunOptions(seed=1, threads=1)


def others(path, market):
    """Bytes of everything but a market and the artifact's manifest."""
    return {
        name: content
        for name, content in tree(path).items()
        if not name.startswith(f"markets/{market}/") and name != "manifest.json"
    }


def renamed(market, name, items=lambda column: column):
    """Data of a market under another name."""
    frame = markets().to_frame().filter(market=market)
    return MarketDataset.from_frame(
        frame.with_columns(
            market=pl.lit(name), user_id=name + pl.col("user_id"), item_id=items(pl.col("item_id"))
        )
    )


@pytest.fixture
def artifact(tmp_path):
    return copy_of("dcmpt, paper", tmp_path / "artifact")


def test_a_market_goes_on_from_its_prompts(artifact):
    before, bytes_before = Artifact.open(artifact), others(artifact, "mx")
    still = tune_market(artifact, markets(), "mx", config={"epochs": 0}, options=OPTIONS)
    assert (still.users, still.new_users, still.unknown_items) == (12, 0, [])
    opened = Artifact.from_pretrained(artifact)
    own, was = opened.market("mx"), before.market("mx")
    assert own.version == still.version != was.version
    # Without an epoch prompts and frozen rows are what they were, and so is every list.
    for user in was.users.ids:
        assert own.recommend(user).to_dict()["items"] == was.recommend(user).to_dict()["items"]
    tuned = tune_market(
        artifact, markets(), "mx", config={"epochs": 3, "learning_rate": 0.1}, options=OPTIONS
    )
    assert tuned.version != still.version
    assert others(artifact, "mx") == bytes_before
    assert Artifact.from_pretrained(artifact).backbone.hash == before.backbone.hash


def test_a_new_market_joins(artifact):
    bytes_before = others(artifact, "jp")
    joined = tune_market(artifact, renamed("uk", "jp"), "jp", options=OPTIONS)
    assert joined.new_users == joined.users == 24
    opened = Artifact.from_pretrained(artifact)
    assert list(opened.markets) == ["de", "jp", "mx", "uk"]
    assert opened.manifest.learned_from == ["de", "jp", "mx", "uk"]
    assert others(artifact, "jp") == bytes_before
    answer = opened.recommend("jp", "jpuk-03", explain=True)
    assert answer.strategy == "prompted"
    assert answer.items[0].why.prompt is not None
    remove_market(artifact, "jp")
    assert others(artifact, "jp") == bytes_before


def test_the_same_tuning_gives_the_same_bytes(artifact, tmp_path):
    other = copy_of("dcmpt, paper", tmp_path / "other")
    for path in (artifact, other):
        tune_market(path, renamed("uk", "jp"), "jp", options=OPTIONS)
    assert tree(artifact) == tree(other)


def test_items_that_the_backbone_does_not_know_are_named(artifact):
    data = renamed("uk", "jp", lambda item: item.str.replace("item-0", "new-0"))
    joined = tune_market(artifact, data, "jp", options=OPTIONS)
    assert joined.unknown_items
    assert all(name.startswith("new-0") for name in joined.unknown_items)
    sold = Artifact.from_pretrained(artifact).market("jp").item_ids
    assert not set(joined.unknown_items) & set(sold)
    with pytest.raises(DataError, match="knows none of the items of market 'jp'"):
        tune_market(artifact, renamed("uk", "jp", lambda item: "x" + item), "jp", options=OPTIONS)


def test_what_cannot_be_tuned_is_refused(artifact):
    before = tree(artifact)
    with pytest.raises(UsageError, match="no frozen backbone to tune over"):
        tune_market(packaged("ease")[1], markets(), "mx", options=OPTIONS)
    with pytest.raises(UsageError, match="there is no market 'jp' in these data"):
        tune_market(artifact, markets(), "jp", options=OPTIONS)
    with pytest.raises(UsageError, match="without prompts there is nothing to tune"):
        tune_market(artifact, markets(), "mx", config={"prompt": "none"}, options=OPTIONS)
    with pytest.raises(UsageError, match="cannot name a market"):
        tune_market(artifact, renamed("uk", "JP"), "JP", options=OPTIONS)
    assert tree(artifact) == before
