"""From a run to an artifact: the same bytes again, nothing that tells who or where, odd ids."""

import json
import os
import re
import shutil

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.artifact.making import TARGETS, copy_of, make_run, packaged, write_by_hand
from tests.commands import ok, refused, tree
from tests.faults.killing import finish, kill_often, leftovers
from tests.small import TINY, markets, result_of

from crossmarket import files
from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.forms import FORMS
from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.errors import UsageError
from crossmarket.models.registry import MODELS
from crossmarket.packaging.package import save_pretrained


def test_the_same_run_gives_the_same_bytes_anywhere(tmp_path, monkeypatch):
    first = packaged("dcmpt")[1]
    run = make_run(tmp_path / "other" / "run", "dcmpt", TINY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    save_pretrained(run, tmp_path / "again")
    assert tree(tmp_path / "again") == tree(first)


def test_nothing_tells_where_when_or_by_whom(tmp_path):
    run, path = packaged("dcmpt")
    words = [os.uname().nodename, str(run.path), str(path), str(run.path.parent)]
    for name, content in tree(path).items():
        for word in words:
            assert word.encode() not in content, name
        if name.endswith(".json"):
            assert not re.search(rb"20\d\d-\d\d-\d\d", content)


def test_the_backbone_carries_no_user():
    run, path = packaged("dcmpt")
    counts = {len(run.data.dataset.users(market)) for market in TARGETS}
    users = [name for market in TARGETS for name in run.data.dataset.users(market).ids]
    for name, content in tree(path / "backbone").items():
        assert not [user for user in users if user.encode() in content], name
    header = (path / "backbone" / "model.safetensors").read_bytes()
    length = int.from_bytes(header[:8], "little")
    shapes = [entry["shape"] for entry in json.loads(header[8 : 8 + length]).values()]
    assert shapes
    assert not counts & {size for shape in shapes for size in shape}


def test_markets_hold_their_own_users_only():
    run, path = packaged("dcmpt")
    for market in TARGETS:
        others = [
            user for name in TARGETS if name != market for user in run.data.dataset.users(name).ids
        ]
        for name, content in tree(path / "markets" / market).items():
            assert not [user for user in others if user.encode() in content], name


def test_the_layout(tmp_path):
    path = packaged("dcmpt")[1]
    assert {child.name for child in path.iterdir()} == {"manifest.json", "backbone", "markets"}
    assert set(tree(path / "backbone")) == {"config.json", "items.parquet", "model.safetensors"}
    assert set(tree(path / "markets" / "mx")) == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "catalog.parquet",
        "golden.json",
        "items.safetensors",
        "manifest.json",
        "popular.parquet",
        "seen.parquet",
        "users.parquet",
        "users.safetensors",
    }
    manifest = Artifact.open(path).manifest
    assert manifest.learned_from == list(TARGETS)
    assert (manifest.settings["seed"], manifest.retrain_due) == (3, 0)


def test_what_all_markets_share_is_stored_once():
    for label in ("lightgcn", "ease", "item-knn", "random-walk"):
        path = packaged(label)[1]
        names = set(tree(path / "markets" / "mx"))
        assert "items.safetensors" not in names, label
        assert (path / "backbone" / "model.safetensors").stat().st_size > 1000


def test_an_evaluation_travels_with_the_market(tmp_path):
    run = make_run(tmp_path / "run", "popularity", {}, targets=("mx",))
    found = run.evaluate(run.settings.protocol)
    save_pretrained(run, tmp_path / "artifact")
    stored = json.loads((tmp_path / "artifact" / "markets" / "mx" / "metrics.json").read_text())
    assert stored["metrics"] == found["markets"]["mx"]
    assert "alone" not in stored
    found = run.evaluate(run.settings.protocol, alone=True)
    save_pretrained(run, tmp_path / "artifact")
    market = Artifact.from_pretrained(tmp_path / "artifact").market("mx")
    assert market.metrics["alone"] == found["alone"]["markets"]["mx"]
    assert Artifact.from_pretrained(tmp_path / "artifact")


def test_systems_without_a_form_say_so_and_which_have_one(tmp_path):
    run = make_run(tmp_path / "run", "gmf", {"epochs": 1})
    with pytest.raises(UsageError, match="gmf cannot be packaged yet; these can: dcmpt, fine") as e:
        save_pretrained(run, tmp_path / "artifact")
    able = str(e.value).partition("these can: ")[2].split(", ")
    assert set(able) < set(MODELS)
    assert not (tmp_path / "artifact").exists()
    assert {Artifact.open(packaged(name)[1]).market("mx").form.kind for name in ("dcmpt", "ease")}
    assert set(FORMS) == {"counts", "item-item", "vectors"}


def test_markets_whose_names_cannot_be_folders_are_refused(tmp_path):
    frame = markets().to_frame().with_columns(pl.col("market").str.to_uppercase())
    data = result_of(MarketDataset.from_frame(frame))
    run = make_run(tmp_path / "run", "popularity", {}, data, targets=("MX",))
    with pytest.raises(UsageError, match="'MX' cannot name a market of an artifact"):
        save_pretrained(run, tmp_path / "artifact")


def test_only_the_same_run_replaces_an_artifact(tmp_path):
    mine, other = copy_of("ease", tmp_path / "mine"), packaged("popularity")[0]
    before = tree(mine)
    with pytest.raises(UsageError, match="is an artifact of another run"):
        save_pretrained(other, mine)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    with pytest.raises(UsageError, match="holds something else"):
        save_pretrained(other, tmp_path / "full")
    with pytest.raises(UsageError, match="is no folder"):
        save_pretrained(other, tmp_path / "full" / "file")
    (tmp_path / "link").symlink_to(mine)
    with pytest.raises(UsageError, match="is no folder"):
        save_pretrained(packaged("ease")[0], tmp_path / "link")
    (mine / "markets" / "mx" / "seen.parquet").unlink()
    save_pretrained(packaged("ease")[0], mine)
    assert tree(mine) == before
    (mine / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="is a damaged artifact; remove it first"):
        save_pretrained(packaged("ease")[0], mine)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_failed_replacement_leaves_the_old_one(tmp_path, monkeypatch, exchanges):
    mine = copy_of("popularity", tmp_path / "mine")
    before = tree(mine)
    if not exchanges:
        monkeypatch.setattr(files, "_exchange", lambda first, second: False)
    calls = []

    def refuse(path, content):
        calls.append(path)
        if path.name == "manifest.json" and path.parent.name.endswith(".tmp"):
            raise OSError(28, "No space left on device")
        files.write_bytes(path, content)

    monkeypatch.setattr("crossmarket.packaging.placing.write_bytes", refuse)
    with pytest.raises(OSError, match="No space"):
        save_pretrained(packaged("popularity")[0], mine)
    assert calls[-1].name == "manifest.json"
    assert calls[-1].parent.parent == tmp_path
    assert tree(mine) == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("market", ["de", "mx"])
def test_a_kill_leaves_the_old_artifact_or_none(tmp_path, market):
    log, run = tmp_path / "log", tmp_path / "run"
    shutil.copytree(packaged("popularity")[0].path, run)
    command = ("package", run, "--out")
    seconds = finish(*command, tmp_path / "whole", log=log)
    target = tmp_path / "killed"

    def look():
        if target.exists():
            assert Artifact.from_pretrained(target)

    kill_often(*command, target, log=log, kills=4, longest=seconds, seed=ord(market[0]), look=look)
    finish(*command, target, log=log)
    assert tree(target) == tree(tmp_path / "whole")
    assert leftovers(tmp_path) == []


ODD = [
    "007",
    "7",
    "NA",
    "null",
    "=cmd()",
    "+1",
    " ",
    "a b",
    "é",
    "e\u0301",
    "日本",
    "😀",
    "x" * 256,
]
IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=20)


def test_odd_ids_come_back_as_they_are(tmp_path):
    rows = [("xx", user, item, 1.0, None) for user in ODD for item in ODD if user != item]
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    data = result_of(MarketDataset.from_frame(frame))
    run = make_run(tmp_path / "run", "ease", {}, data, targets=("xx",))
    save_pretrained(run, tmp_path / "artifact")
    market = Artifact.from_pretrained(tmp_path / "artifact").market("xx")
    assert set(market.users.ids) == set(market.item_ids) == set(ODD)
    for user in ODD:
        assert [row.item_id for row in market.recommend(user).items] == [user]


@given(items=st.lists(IDS, min_size=1, max_size=6, unique=True), data=st.data())
@settings(max_examples=12)
def test_any_ids_and_histories_survive(tmp_path_factory, items, data):
    users = data.draw(st.lists(IDS, min_size=1, max_size=4, unique=True))
    rows = st.lists(st.integers(0, len(items) - 1), max_size=4)
    histories = [data.draw(rows) for _ in users]
    folder = tmp_path_factory.mktemp("any") / "artifact"
    write_by_hand(folder, items, users, histories, data.draw(st.sampled_from(sorted(FORMS))))
    market = Artifact.from_pretrained(folder).market("xx")
    assert market.item_ids == sorted(items, key=str.encode)
    assert market.users.ids.to_list() == sorted(users, key=str.encode)
    for row, history in enumerate(histories):
        np.testing.assert_array_equal(market.seen_by(row), np.unique(history))
        everything = market.recommend(market.users.ids[row], k=len(items))
        seen = {market.item_ids[place] for place in history}
        assert {one.item_id for one in everything.items} == set(items) - seen
        assert everything.ignored == ()


def test_the_command_line(tmp_path):
    run = packaged("dcmpt")[0]
    shutil.copytree(run.path, tmp_path / "run")
    said = ok("package", tmp_path / "run", "--out", tmp_path / "artifact").out.splitlines()
    assert re.fullmatch(r"mx: 12 users, 28 items, version [0-9a-f]{12}", said[1])
    assert said[-1].endswith("verified, golden answers replayed")
    assert tree(tmp_path / "artifact") == tree(packaged("dcmpt")[1])
    options = ("--market", "mx", "--user", "mx-01", "-k", 3, "--json")
    for path in (tmp_path / "run", tmp_path / "artifact"):
        rows = ok("recommend", path, *options).json()
        assert [row["rank"] for row in rows] == [1, 2, 3]
    lists = [ok("recommend", tmp_path / name, *options).json() for name in ("run", "artifact")]
    shown, served = ([row["item_id"] for row in rows] for rows in lists)
    assert shown == served
    assert {row["strategy"] for row in lists[1]} == {"prompted"}
    why = ok("recommend", tmp_path / "artifact", *options, "--explain").json()[0]["why"]
    assert why.keys() == {"backbone", "prompt", "reasons", "evidence"}
    told = ok("recommend", tmp_path / "artifact", *options[:-1], "--explain").out.splitlines()
    assert told[0] == "mx-01 in mx:"
    assert re.fullmatch(rf"  1\. {shown[0]}  -?\d+\.\d{{4}}  prompted", told[1])
    assert told[2] == f"     backbone {why['backbone']:+.4f}, prompts {why['prompt']:+.4f}"
    assert told[3].startswith(f"     because of {why['reasons'][0]['item_id']} (")
    said = refused("recommend", tmp_path / "run", *options, "--explain")
    assert said.startswith("--explain needs an artifact")
    shown = ok("recommend", tmp_path / "artifact", "--market", "mx", "--user", "who", "-k", 2)
    assert shown.err == "not known here and ignored: who\n"
    assert "popular" in shown.out
    out = tmp_path / "all.parquet"
    ok("recommend", tmp_path / "artifact", "--market", "uk", "--all-users", "--out", out)
    ok("export", tmp_path / "artifact", "--market", "uk", "--out", tmp_path / "uk.parquet")
    assert pl.read_parquet(out).equals(pl.read_parquet(tmp_path / "uk.parquet"))
    said = refused("export", tmp_path / "artifact", "--market", "fr", "--out", out)
    assert said == "this artifact has no market 'fr'; choose from: de, mx, uk"
    assert ok("check", tmp_path / "artifact").out.endswith("passed: no leak, no damage\n")
