"""Forgetting a user: exactly where that can be proved, honestly where not."""

import hashlib

import polars as pl
import pytest
from safetensors.numpy import load
from tests.artifact.making import copy_of, make_run, packaged
from tests.commands import ok, refused, tree
from tests.small import markets, result_of, with_parts
from tests.toys import split_of

from crossmarket.artifact.artifact import Artifact
from crossmarket.data.dataset import MarketDataset
from crossmarket.errors import UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.packaging.forgetting import forget
from crossmarket.packaging.package import save_pretrained

CLOSED = {
    "ease": {},
    "item-knn": {"neighbours": 5},
    "popularity": {"markets": "all"},
}
PARTS = Protocol().split(result_of(markets()), 0)


def read_without(market, user):
    """The parts of a split as if a user had never been there; nobody is called ""."""
    gone = (pl.col("market") == market) & (pl.col("user_id") == user)
    rows = []
    for name in ("train", "valid", "test"):
        rows += getattr(PARTS, name).to_frame().filter(~gone).with_columns(part=pl.lit(name)).rows()
    return with_parts(split_of(rows))


def package_without(folder, model, user, market="mx"):
    data = read_without(market, user)
    run = make_run(folder / "run", model, CLOSED[model], data, protocol=Protocol(name="given-full"))
    save_pretrained(run, folder / "artifact")
    return folder / "artifact"


@pytest.mark.parametrize("model", CLOSED)
def test_forgotten_is_never_seen(tmp_path, model):
    whole = package_without(tmp_path / "whole", model, "")
    user = "mx-05"
    done = forget(whole, "mx", user, tmp_path / "forgotten")
    assert done.exact
    never = package_without(tmp_path / "never", model, user)
    assert tree(tmp_path / "forgotten") == tree(never)
    assert tree(whole) != tree(never)
    # Once more, in another market: still that of a training that saw neither.
    again = forget(tmp_path / "forgotten", "de", "de-03", tmp_path / "twice")
    assert again.exact
    assert "de-03" not in Artifact.from_pretrained(tmp_path / "twice").market("de").users


def test_items_that_only_the_user_took_go_too(tmp_path):
    frame = markets().to_frame()
    own = frame.filter(pl.col("user_id") == "mx-05").head(1)
    own = own.with_columns(item_id=pl.lit("secret item"))
    data = result_of(MarketDataset.from_frame(pl.concat([frame, own])))
    run = make_run(tmp_path / "run", "popularity", {}, data)
    save_pretrained(run, tmp_path / "artifact")
    forget(tmp_path / "artifact", "mx", "mx-05", tmp_path / "out")
    for name, content in tree(tmp_path / "out").items():
        assert b"secret item" not in content, name
        assert b"mx-05" not in content, name


@pytest.mark.parametrize("label", ["dcmpt", "lightgcn", "m3rec", "random-walk, exact"])
def test_the_rows_go_and_what_was_learned_is_due(tmp_path, label):
    path, user = packaged(label)[1], "mx-07"
    done = forget(path, "mx", user, tmp_path / "out")
    assert not done.exact
    assert "still in the item side (1 due): fit again on data without the user" in done.sentence
    before, after = Artifact.open(path), Artifact.from_pretrained(tmp_path / "out")
    assert after.manifest.retrain_due == 1
    assert after.manifest.run != before.manifest.run
    hashes = [user, *(hashlib.new(kind, user.encode()).hexdigest() for kind in ("sha256", "md5"))]
    for name, content in tree(tmp_path / "out").items():
        assert not [word for word in hashes if word.encode() in content], name
    old, new = tree(path), tree(tmp_path / "out")
    changed = {name for name in old if old[name] != new.get(name)}
    assert changed <= {"manifest.json"} | {f"markets/mx/{name}" for name in MINE}
    own, rest = before.market("mx"), after.market("mx")
    assert rest.users.ids.to_list() == [name for name in own.users.ids if name != user]
    taken = own.popularity.copy()
    taken[own.seen_by(int(own.users.rows([user])[0]))] -= 1
    assert rest.popularity.tolist() == taken.tolist()
    for name in rest.users.ids:
        kept, was = (one.recommend(name).to_dict()["items"] for one in (rest, own))
        assert kept == was
    assert rest.recommend(user).strategy == "popular"
    if "markets/mx/users.safetensors" in new:
        vectors = load(new["markets/mx/users.safetensors"])
        assert {len(rows) for rows in vectors.values()} == {len(rest.users)}
    twice = forget(tmp_path / "out", "uk", "uk-01", tmp_path / "twice")
    assert "(2 due)" in twice.sentence


MINE = (
    "manifest.json",
    "users.parquet",
    "users.safetensors",
    "seen.parquet",
    "popular.parquet",
    "golden.json",
)


def test_a_closed_form_needs_every_market_it_learned_from(tmp_path):
    run = make_run(tmp_path / "run", "ease", {}, targets=("mx",))
    save_pretrained(run, tmp_path / "artifact")
    assert not forget(tmp_path / "artifact", "mx", "mx-05", tmp_path / "out").exact
    assert Artifact.from_pretrained(tmp_path / "out").manifest.retrain_due == 1


def test_requests_that_make_no_sense(tmp_path):
    path = copy_of("popularity", tmp_path / "artifact")
    with pytest.raises(UsageError, match="market 'mx' has no user 'de-01'; nothing was written"):
        forget(path, "mx", "de-01", tmp_path / "out")
    with pytest.raises(UsageError, match="no market 'fr'"):
        forget(path, "fr", "u", tmp_path / "out")
    with pytest.raises(UsageError, match="is the artifact itself; name a new folder"):
        forget(path, "mx", "mx-05", path)
    assert not (tmp_path / "out").exists()
    said = refused("forget", path, "--market", "mx", "--user", "x", "--out", tmp_path / "out")
    assert "has no user 'x'" in said
    said = ok("forget", path, "--market", "mx", "--user", "mx-05", "--out", tmp_path / "out").out
    assert "never saw the user" in said
