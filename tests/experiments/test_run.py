import json
import os
import time

import polars as pl
import pytest
from tests.commands import tree
from tests.small import TINY, markets, result_of, settings, store, with_parts

from crossmarket.errors import DataError, UsageError
from crossmarket.evaluation.evaluator import METRICS, evaluate_market, summarise
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.checking import check_path
from crossmarket.experiments.locking import locked
from crossmarket.experiments.run import Run, RunSettings, resolve_settings, restrict
from crossmarket.experiments.stored_split import read_split
from crossmarket.models.registry import find_model
from crossmarket.training.options import RunOptions


@pytest.fixture(autouse=True)
def no_repository(monkeypatch):
    """Results name the commit they are made from; here it must not change meanwhile."""
    monkeypatch.setenv("GIT_DIR", os.devnull)


def chosen(model="dcmpt", values=None, **others):
    values = TINY if model == "dcmpt" and values is None else values or {}
    defaults = {"targets": ("mx", "uk"), "seed": 1, "threads": 1}
    return resolve_settings(model, None, values, **{**defaults, **others})


def create(path, data=None, **others):
    return Run.create(path, chosen(**others), data or result_of(markets()))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    run = create(tmp_path_factory.mktemp("runs") / "run")
    models = run.fit(run.settings.protocol)
    return run, models


def test_create_writes_settings_and_data(tmp_path):
    run = create(tmp_path / "run")
    record = json.loads((run.path / "run.json").read_text())
    assert record["data"] == markets().fingerprint
    assert record["settings"]["config"] == chosen().config
    assert record["settings"]["config"]["wrd"]["top"] == 50  # every default is written out
    assert record["versions"].keys() >= {"crossmarket", "python", "torch", "numpy"}
    assert {path.name for path in run.path.iterdir()} == {".lock", "run.json", "data"}


def test_open_gives_back_settings_and_data(tmp_path):
    made = create(tmp_path / "run", protocol=Protocol(name="launch@0.5", refit=True), seed=4)
    opened = Run.open(tmp_path / "run")
    assert opened.settings == made.settings
    assert isinstance(opened.settings, RunSettings)
    assert opened.data.dataset.fingerprint == markets().fingerprint


def test_fit_leaves_split_stages_and_facts(fitted):
    run, models = fitted
    folder = run.path / "ratio-full"
    assert sorted(models) == ["mx", "uk"]
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in (folder / "stages").iterdir())
    # One backbone serves both targets.
    assert kinds == ["backbone", "mx-prompts", "mx-teacher", "uk-prompts", "uk-teacher"]
    facts = json.loads((folder / "fit.json").read_text())
    assert facts["trainable"] == {name: model.num_trainable() for name, model in models.items()}
    assert facts["counts"] == run.split(Protocol()).counts()


def test_the_stored_split_is_the_one_learned_from(fitted):
    run, models = fitted
    stored, split = read_split(run.path / "ratio-full" / "split"), run.split(Protocol())
    assert (stored.name, stored.seed, stored.details) == (split.name, 1, split.details)
    for name in ("train", "valid", "test"):
        assert getattr(stored, name).fingerprint == getattr(split, name).fingerprint
    assert models["mx"].train.fingerprint == split.train.fingerprint


def test_evaluate_keeps_means_and_per_user_values(fitted):
    run, models = fitted
    result = run.evaluate(Protocol(), models)
    folder = run.path / "ratio-full"
    assert json.loads((folder / "evaluation.json").read_text()) == result
    assert result["protocol"] == "ratio-full"
    assert result["seed"] == 1
    assert result["candidates"] == Protocol().candidates_hash(run.split(Protocol()))
    per_user = pl.read_parquet(folder / "evaluation.parquet")
    for market, row in result["markets"].items():
        own = per_user.filter(pl.col("market") == market)
        assert own.height == row["users"]
        for metric in METRICS:
            assert own[metric].mean() == pytest.approx(row[metric])
    for metric in METRICS:
        means = [row[metric] for row in result["markets"].values()]
        assert result["macro"][metric] == pytest.approx(sum(means) / 2)


def test_what_the_other_markets_are_worth_is_measured_on_the_same_users(tmp_path):
    run, target = (
        create(tmp_path / name, model="popularity", values={"markets": name})
        for name in ("all", "target")
    )
    plain = run.evaluate(Protocol())
    assert "alone" not in plain
    told = run.evaluate(Protocol(), alone=True)
    wanted = target.evaluate(Protocol())
    assert told["alone"] == {name: wanted[name] for name in ("markets", "macro", "micro", "users")}
    assert told["markets"] == plain["markets"]
    folders = [one.path / "ratio-full" for one in (run, target)]
    alone = pl.read_parquet(folders[0] / "evaluation-alone.parquet")
    assert alone.equals(pl.read_parquet(folders[1] / "evaluation.parquet"))
    # What was measured once is not lost by an evaluation that does not ask for it.
    assert run.evaluate(Protocol()) == told


def test_a_trained_system_learns_alone_beside_its_stages(tmp_path):
    run = create(tmp_path / "run")
    before = run.evaluate(Protocol())
    told = run.evaluate(Protocol(), alone=True)
    assert told["markets"] == before["markets"] != told["alone"]["markets"]
    split = run.split(Protocol()).select_markets(["uk"])
    assert split.train.markets == ("uk",)
    options = RunOptions(seed=run.settings.seed, threads=run.settings.threads)
    model = find_model("dcmpt").from_config(run.settings.config, options=options)
    model.fit(split.train, target="uk", valid=split.valid)
    part = evaluate_market(model, Protocol(), run.split(Protocol()), "uk")
    assert told["alone"]["markets"]["uk"] == summarise([part])["markets"]["uk"]


def test_a_rerun_computes_nothing_and_gives_the_same_bytes(fitted, monkeypatch):
    run, models = fitted
    run.evaluate(Protocol(), models)
    before = tree(run.path)

    def refuse(*arguments):
        raise AssertionError("a finished stage was trained again")

    monkeypatch.setattr("crossmarket.training.loop._run_epoch", refuse)
    started = time.process_time()
    again = create(run.path)
    again.evaluate(Protocol(), again.fit(Protocol()))
    assert time.process_time() - started < 2
    assert tree(run.path) == before


def test_another_run_of_the_same_settings_gives_the_same_bytes(fitted, tmp_path):
    run, models = fitted
    run.evaluate(Protocol(), models)
    other = create(tmp_path / "elsewhere")
    other.evaluate(Protocol())
    names = {"timing.json"}
    assert tree(other.path, names) == tree(run.path, names)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 2}, "seed=1, not 2"),
        ({"threads": 2}, "threads=1, not 2"),
        ({"protocol": Protocol(name="loo-99")}, "protocol.name=ratio-full, not loo-99"),
        ({"protocol": Protocol(refit=True)}, "protocol.refit=False, not True"),
        ({"source_split": "all"}, "source_split=train, not all"),
        ({"values": {**TINY, "epochs": 3}}, "config.epochs=2, not 3"),
        ({"values": {**TINY, "wrd": {"top": 9}}}, "config.wrd.top=50, not 9"),
    ],
)
def test_resume_refuses_other_settings_and_names_the_field(tmp_path, change, message):
    create(tmp_path / "run")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=message):
        create(tmp_path / "run", **change)
    assert tree(tmp_path) == before


def test_resume_refuses_another_system(tmp_path):
    create(tmp_path / "run")
    with pytest.raises(UsageError, match="not"):
        create(tmp_path / "run", model="popularity")


def test_resume_refuses_other_data(tmp_path):
    create(tmp_path / "run")
    other = restrict(result_of(markets()), ["mx", "uk"])
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="a run of other data; choose another folder"):
        create(tmp_path / "run", data=other)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["notes.txt", "data/x.csv", ".git/config", "ratio-full/fit.json"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    place = tmp_path / "mine" / name
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        create(tmp_path / "mine")
    assert tree(tmp_path) == {f"mine/{name}": b"mine"}


def test_a_store_beside_is_not_replaced(tmp_path):
    """`fit --data shop/data --out shop` must not write over the data it reads."""
    store(tmp_path / "shop" / "data")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="holds something else"):
        create(tmp_path / "shop")
    assert tree(tmp_path) == before


def test_a_start_killed_before_its_data_is_resumed(tmp_path):
    whole = create(tmp_path / "whole")
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / ".lock").touch()
    (begun / ".run.json.1.tmp").write_text("{")
    (begun / ".data.1.new.tmp").mkdir()
    create(begun).evaluate(Protocol())
    whole.evaluate(Protocol())
    assert tree(begun, {"timing.json"}) == tree(whole.path, {"timing.json"})
    record = (whole.path / "run.json").read_bytes()
    named = tmp_path / "named"
    named.mkdir()
    (named / "run.json").write_bytes(record)
    assert create(named).data.dataset.fingerprint == markets().fingerprint


def test_what_is_no_run_is_refused(tmp_path):
    for place in (tmp_path, tmp_path / "missing", store(tmp_path / "data")):
        with pytest.raises(UsageError, match="is no run; make one with `crossmarket fit"):
            Run.open(place)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\x00", b'"run"', b'{"format": 9}'])
def test_a_spoilt_run_file_is_refused(tmp_path, content):
    run = create(tmp_path / "run")
    (run.path / "run.json").write_bytes(content)
    with pytest.raises(DataError):
        Run.open(run.path)


def test_a_run_whose_data_were_exchanged_is_refused(tmp_path):
    run = create(tmp_path / "run")
    store(run.path / "data", restrict(result_of(markets()), ["mx"]).dataset)
    with pytest.raises(DataError, match="not those the run was made of"):
        Run.open(run.path)


@pytest.mark.parametrize("name", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(tmp_path, name):
    with pytest.raises(UsageError, match="torch cannot compute on"):
        create(tmp_path / "run", device=name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("protocol", [Protocol(name="nonsense"), Protocol(name="given-full")])
def test_a_protocol_the_data_cannot_keep_leaves_no_folder(tmp_path, protocol):
    with pytest.raises((UsageError, DataError)):
        create(tmp_path / "run", protocol=protocol)
    assert not (tmp_path / "run").exists()


def test_two_at_once_are_refused(tmp_path):
    run = create(tmp_path / "run", model="popularity")
    with locked(run.path):
        with pytest.raises(UsageError, match="another process is at work"):
            run.fit(Protocol())
        with pytest.raises(UsageError, match="another process is at work"):
            create(run.path, model="popularity")
    run.fit(Protocol())  # free again


def test_another_protocol_is_fitted_first_and_leaves_the_first_alone(tmp_path):
    run = create(tmp_path / "run", targets=("mx",))
    run.evaluate(Protocol())
    before = tree(run.path)
    result = run.evaluate(run.protocol("launch@0.5"))
    assert result["protocol"] == "launch@0.5"
    after = tree(run.path)
    assert {name: after[name] for name in before} == before
    assert any(name.startswith("launch-0.5/stages/mx-prompts") for name in after)
    assert all(name.startswith("launch-0.5/") for name in after.keys() - before.keys())


def test_the_longer_history_changes_scores_but_not_the_models(tmp_path):
    run = create(tmp_path / "run", model="item-knn", targets=("uk",))
    short = run.evaluate(run.protocol(None))
    before = tree(run.path)
    longer = run.evaluate(run.protocol(None, history="train+valid"))
    assert longer["protocol"] == "ratio-full, history=train+valid"
    assert longer["macro"]["ndcg@10"] != short["macro"]["ndcg@10"]
    after = tree(run.path)
    assert {name: after[name] for name in before} == before
    assert after.keys() - before.keys() == {
        "ratio-full/evaluation-train+valid-hits.parquet",
        "ratio-full/evaluation-train+valid.json",
        "ratio-full/evaluation-train+valid.parquet",
    }


def test_refit_learns_from_validation_too(tmp_path):
    run = create(tmp_path / "run", model="popularity", targets=("uk",))
    refitted = run.protocol(None, refit=True)
    split = run.split(Protocol())
    model = run.fit(refitted)["uk"]
    expected = split.train.matrix("uk").sum(axis=0) + split.valid.matrix("uk").sum(axis=0)
    assert model.score([0])[0].tolist() == expected[model.catalogue].tolist()
    assert run.evaluate(refitted)["protocol"] == "ratio-full, refit"
    assert (run.path / "ratio-full-refit" / "evaluation.json").is_file()


def test_options_of_a_protocol_are_checked(fitted):
    run, _ = fitted
    with pytest.raises(UsageError, match="protocol option history: input should be"):
        run.protocol(None, history="future")
    assert run.protocol("ratio-full", refit=True) == Protocol(refit=True)
    assert run.protocol("loo-99") == Protocol(name="loo-99")


@pytest.mark.parametrize("market", ["mx", "uk"])
def test_lists_hold_what_the_market_sells_and_the_user_does_not_have(fitted, market):
    run, _ = fitted
    model = run.recommender(market)
    data = run.data.dataset
    users = data.users(market).ids.to_list()
    lists = model.recommend(users, k=60)
    owned = data.to_frame().filter(pl.col("market") == market)
    sold = set(data.items.take(data.catalogue(market)))
    assert len(sold) < len(data.items)  # some items are sold elsewhere only
    for user in users:
        mine = set(owned.filter(pl.col("user_id") == user)["item_id"])
        shown = lists.filter(pl.col("user_id") == user)
        # Held-out items are left out like all others: the user has them.
        assert set(shown["item_id"]) == sold - mine
        assert shown["score"].is_sorted(descending=True)
        assert shown["rank"].to_list() == list(range(1, shown.height + 1))
    assert lists["market"].unique().to_list() == [market]


def test_a_market_the_run_was_not_fitted_for(fitted):
    run, _ = fitted
    with pytest.raises(UsageError, match="not fitted for market 'de'; it has: mx, uk"):
        run.recommender("de")
    with pytest.raises(UsageError, match="there is no market 'xx'"):
        run.recommender("xx")


def test_sources_may_be_learned_from_whole(tmp_path):
    run = create(
        tmp_path / "run",
        model="popularity",
        values={"markets": "all"},
        targets=("mx",),
        source_split="all",
    )
    model = run.fit(Protocol())["mx"]
    split = run.split(Protocol())
    data = run.data.dataset
    expected = split.train.matrix("mx").sum(axis=0) + sum(
        data.matrix(market).sum(axis=0) for market in ("de", "uk")
    )
    assert model.score([0])[0].tolist() == expected[model.catalogue].tolist()


def test_whole_sources_would_show_the_future(tmp_path):
    run = create(
        tmp_path / "run",
        model="popularity",
        source_split="all",
        protocol=Protocol(name="time-full"),
    )
    with pytest.raises(UsageError, match="would show the sources' future"):
        run.fit(Protocol(name="time-full"))


def test_restrict_keeps_markets_their_items_and_parts():
    whole = with_parts(Protocol().split(result_of(markets()), 0))
    kept = restrict(whole, ["mx"])
    assert kept.dataset.markets == ("mx",)
    assert len(kept.dataset.items) == len(markets().catalogue("mx"))
    assert kept.parts is not None
    assert sum(part.num_interactions for part in kept.parts.values()) == len(markets().edges("mx"))
    with pytest.raises(UsageError, match="there is no market 'xx'"):
        restrict(whole, ["xx"])


def test_checks_of_a_run_cover_split_stages_and_data(fitted):
    run, _ = fitted
    report = check_path(run.path)
    assert report.passed
    assert report.checked[:2] == ["data", "split ratio-full"]
    assert len([entry for entry in report.checked if entry.startswith("stage ")]) == 5


@pytest.mark.parametrize("text", ["soon", "-1", "inf", "nan", ""])
def test_checkpoint_seconds_must_be_seconds(tmp_path, monkeypatch, text):
    monkeypatch.setenv("CROSSMARKET_CHECKPOINT_SECONDS", text)
    run = create(tmp_path / "run", model="popularity")
    with pytest.raises(UsageError, match="CROSSMARKET_CHECKPOINT_SECONDS"):
        run.fit(Protocol())


def test_settings_options_match_nested_values():
    assert settings({"wrd": {"top": 5}})[-2:] == ["--set", "wrd.top=5"]


def test_a_further_target_reuses_the_backbone_and_touches_no_other_file(tmp_path):
    run = create(tmp_path / "run", targets=("mx",))
    run.fit(Protocol())
    before = tree(run.path, {"timing.json", "run.json", "fit.json"})
    more = create(tmp_path / "run", targets=("uk",))
    assert more.settings.targets == ("mx", "uk")
    more.fit(Protocol())
    after = tree(run.path, {"timing.json", "run.json", "fit.json"})
    assert before.items() <= after.items()
    added = {
        name.split("/")[-2].rsplit("-", 1)[0] for name in map(str, after.keys() - before.keys())
    }
    assert added == {"uk-teacher", "uk-prompts"}
    # Naming fewer targets later takes none away.
    assert create(tmp_path / "run", targets=("mx",)).settings.targets == ("mx", "uk")
