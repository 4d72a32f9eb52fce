import json
import os
import runpy
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.commands import ok, refused, start
from tests.docs.pages import ROOT
from tests.faults.killing import finish, kill_often, leftovers
from tests.small import markets, result_of, store, write_yaml

from crossmarket.data.splits import ratio_split
from crossmarket.errors import CrossmarketError, DataError, LeakError, UsageError
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import (
    SystemConfig,
    find_start,
    find_system,
    known_systems,
    with_settings,
)
from crossmarket.experiments.tuning import space as space_module
from crossmarket.experiments.tuning.bench import Bench
from crossmarket.experiments.tuning.plan import TuningPlan, load_plan
from crossmarket.experiments.tuning.run import tune
from crossmarket.experiments.tuning.search import file_name
from crossmarket.experiments.tuning.space import (
    Choices,
    Range,
    current_settings,
    find_space,
    propose,
    search_spaces,
)
from crossmarket.metrics.held_out import HeldOut
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions

PLAN = {
    "name": "Small",
    "data": "data",
    "targets": ["mx", "uk"],
    "trials": 4,
    "seconds": 1000,
    "threads": 1,
    "systems": ["Popularity", "Item kNN", "GMF", "Random walk, exact"],
}


@pytest.fixture(autouse=True)
def no_repository(monkeypatch):
    """Records name the commit they are made from; here it must not change meanwhile."""
    monkeypatch.setenv("GIT_DIR", os.devnull)


def plan_of(**changes):
    return TuningPlan(**{**PLAN, **changes})


def outcomes(records):
    """What must not depend on when a trial ran: settings, values and errors."""
    return {
        record["title"]: [
            {name: value for name, value in trial.items() if name != "seconds"}
            for trial in record["trials"]
        ]
        for record in records
    }


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        return folder, tune(plan_of(), folder, result_of(markets()))


# -- spaces -----------------------------------------------------------------------------------


def test_every_system_of_the_catalogue_has_a_space():
    assert search_spaces().keys() == known_systems().keys()
    assert len({file_name(title) for title in known_systems()}) == len(known_systems())


@pytest.mark.parametrize("title", known_systems())
def test_a_space_holds_the_present_settings_and_builds_everywhere(title):
    system, space = find_start(title), find_space(title)
    current = current_settings(system, space)

    def build(values):
        changed = with_settings(system, values)
        return build_model(changed.model, changed.preset, changed.config)

    assert build(current).get_config() == build({}).get_config()
    assert not any("embedding_size" in name for name in space)
    for name, setting in space.items():
        ends = setting.choices if isinstance(setting, Choices) else (setting.low, setting.high)
        for value in ends:
            build({name: value})
    trials = [(current, 0.5)]
    for value in (0.1, None, 0.7):
        found = propose(space, trials, seed=0)
        if found is not None:
            build(found)
            trials.append((found, value))
    assert len(trials) == (4 if len(space) > 1 else min(len(trials), 4))


@pytest.mark.parametrize("title", ["GMF", "LightGCN merged", "DCMPT", "ACMR", "M3Rec", "FOREC"])
def test_learned_systems_get_the_same_treatment(title):
    space = find_space(title)
    assert space["learning_rate"] == find_space("NMF")["learning_rate"]
    assert space["reg"] == find_space("NMF")["reg"]
    assert len(space) in (3, 4)


@given(st.integers(0, 2**31), st.lists(st.none() | st.floats(0, 1), max_size=9))
@settings(max_examples=15, deadline=None)
def test_proposals_depend_on_their_arguments_alone_stay_in_range_and_never_repeat(seed, values):
    space = {
        "rate": Range(low=0.0001, high=0.1, log=True),
        "layers": Range(low=1, high=4),
        "loss": Choices(choices=("bpr", "bce")),
    }
    trials = []
    for value in values:
        found = propose(space, trials, seed)
        assert found == propose(space, trials, seed)
        assert 0.0001 <= found["rate"] <= 0.1
        assert found["rate"] == float(f"{found['rate']:.3g}")
        assert found["layers"] in (1, 2, 3, 4)
        assert type(found["layers"]) is int
        assert found["loss"] in ("bpr", "bce")
        assert found not in [tried for tried, _ in trials]
        trials.append((found, value))


def test_proposals_end_with_the_space():
    space = {"steps": Range(low=1, high=3), "kind": Choices(choices=("a", "b"))}
    trials = []
    while found := propose(space, trials, seed=1):
        trials.append((found, 0.1 * len(trials)))
    assert len(trials) == 6


def test_proposals_move_to_where_values_are_high():
    space = {"x": Range(low=0.0, high=1.0)}
    trials = []
    for _ in range(30):
        found = propose(space, trials, seed=0)
        trials.append((found, -abs(found["x"] - 0.8)))
    first, last = (
        np.mean([abs(found["x"] - 0.8) for found, _ in part]) for part in (trials[:5], trials[-10:])
    )
    assert last < first / 2


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"rge": Range(low=1, high=2)}, "'EASE^R merged' has no setting 'rge'"),
        ({"reg": Range(low=1, high=2)}, "'EASE^R merged': reg=20.0 lies outside its range"),
        ({"reg": Choices(choices=(1.0, 2.0))}, "'EASE^R merged': reg=20.0 lies outside"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(space, message):
    with pytest.raises(UsageError) as caught:
        current_settings(find_start("EASE^R merged"), space)
    assert str(caught.value).startswith(message)


def test_nested_settings_leave_their_neighbours():
    system = find_system("ACMR")
    changed = with_settings(system, {"fine_tuning.learning_rate": 0.01, "reg": 0.0})
    assert changed.config["fine_tuning"] == {"learning_rate": 0.01, "epochs": 3}
    assert system.config["fine_tuning"]["learning_rate"] == 0.001


def test_the_catalogue_holds_what_the_search_found():
    script = runpy.run_path(str(ROOT / "experiments" / "tuned.py"))
    assert script["render"]() == script["TUNED"].read_text(encoding="utf-8")
    for name, found in yaml.safe_load(script["render"]()).items():
        protocol = Protocol(name=name)
        assert found.keys() <= known_systems().keys()
        for title, system in known_systems(protocol).items():
            assert system == with_settings(find_start(title), found.get(title, {}))
        ablation = find_system("DCMPT without prompt", protocol)
        assert ablation == with_settings(find_start(ablation.title), found["DCMPT"])


def test_what_is_found_under_a_random_split_is_not_taken_for_a_split_by_date():
    title = "Decayed popularity"
    assert find_system(title).config == {"half_life": 884.0}
    assert find_system(title, Protocol(name="forec")) == find_system(title)
    assert find_system(title, Protocol(name="time-full")) == find_start(title)
    assert find_system("DCMPT", Protocol(name="time-full")) != find_system("DCMPT")


# -- the search -------------------------------------------------------------------------------


def test_every_system_has_the_same_budget_and_starts_with_its_own_settings(tuned):
    _, records = tuned
    assert [record["title"] for record in records] == PLAN["systems"]
    for record in records:
        assert record["key"]["budget"] == {"trials": 4, "seconds": 1000}
        system, space = find_start(record["title"]), find_space(record["title"])
        first = record["trials"][0]
        assert first["settings"] == current_settings(system, space)
        assert record["default"] == first["value"]
        assert [trial["number"] for trial in record["trials"]] == list(range(len(record["trials"])))
    ends = {record["title"]: (len(record["trials"]), record["stopped_by"]) for record in records}
    assert ends == {
        "Popularity": (1, "space"),
        "Item kNN": (4, "trials"),
        "GMF": (4, "trials"),
        "Random walk, exact": (3, "space"),
    }


def test_a_record_says_what_was_best_and_what_it_cost(tuned):
    folder, records = tuned
    for record in records:
        assert record == json.loads((folder / f"{file_name(record['title'])}.json").read_text())
        values = [trial["value"] for trial in record["trials"]]
        assert record["best"]["value"] == max(values)
        assert record["best"]["number"] == values.index(max(values))
        spent = sum(trial["seconds"] for trial in record["trials"])
        assert record["seconds"] == pytest.approx(spent)
        assert record["key"]["data"] == markets().fingerprint
        assert record["key"]["versions"].keys() >= {"crossmarket", "torch", "optuna"}
        for trial in record["trials"]:
            assert trial["markets"].keys() == {"mx", "uk"}
            assert trial["value"] == np.mean(list(trial["markets"].values()))
    assert any(record["best"]["value"] > record["default"] for record in records)


def test_a_value_is_the_ndcg_of_the_validation_part(tuned):
    _, records = tuned
    trial = records[2]["trials"][2]
    system = with_settings(find_start("GMF"), trial["settings"])
    split = ratio_split(markets(), seed=0)
    for market in ("mx", "uk"):
        model = build_model(system.model, system.preset, system.config, RunOptions(threads=1))
        model.fit(split.train, target=market, valid=split.valid)
        train = split.train.matrix(market)
        held_out = HeldOut(
            split.valid.matrix(market), train, model.catalogue, among=np.diff(train.indptr) > 0
        )
        expected = held_out.evaluate(model.score, ["ndcg@10"])["ndcg@10"].mean()
        assert trial["markets"][market] == pytest.approx(expected, abs=1e-12)


def test_tuned_systems_can_be_copied_into_an_experiment(tuned):
    folder, records = tuned
    text = (folder / "tuned.yaml").read_text()
    assert "4 trials or 1000 s of CPU time" in text
    entries = yaml.safe_load(text)["systems"]
    assert [entry["title"] for entry in entries] == PLAN["systems"]
    for entry, record in zip(entries, records, strict=True):
        system = SystemConfig.model_validate(entry)
        assert system == with_settings(find_start(system.title), record["best"]["settings"])
        assert system.config == record["best"]["config"]


def test_the_test_part_is_never_touched(tmp_path):
    split = ratio_split(markets(), seed=0)
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    edges = {}
    for market in split.test.markets:
        own = split.test.edges(market)
        known = split.known(market).toarray()
        lowest = [int(np.flatnonzero(known[user] == 0)[0]) for user in own.users]
        users, places = np.unique(own.users, return_index=True)
        other = own.select(places)
        edges[market] = replace(other, users=users, items=np.array(lowest, dtype=np.int32)[places])
    spoilt = split.test.replace_edges(edges)
    plan = plan_of(protocol={"name": "given-full"}, systems=["GMF"], trials=3)
    found = [
        outcomes(tune(plan, tmp_path / name, result_of(markets(), {**parts, "test": test})))
        for name, test in (("whole", split.test), ("spoilt", spoilt))
    ]
    assert found[0] == found[1]
    bench = Bench(plan, result_of(markets(), parts), progress=False)
    assert bench.split.test.num_interactions == 0


def test_validation_is_not_learned_from_under_a_protocol_that_refits(tmp_path):
    data = result_of(markets())
    refit = {"name": "ratio-full", "refit": True, "history": "train+valid"}
    plain, tuned = (
        outcomes(tune(plan_of(systems=["GMF"], trials=2, **more), tmp_path / name, data))
        for name, more in (("plain", {}), ("refit", {"protocol": Protocol(**refit)}))
    )
    assert plain == tuned


def test_time_ends_a_search_after_the_trial_that_has_begun(tmp_path):
    plan = plan_of(seconds=1e-9, systems=["Item kNN", "GMF"])
    for record in tune(plan, tmp_path, result_of(markets())):
        assert (len(record["trials"]), record["stopped_by"]) == (1, "seconds")


def test_only_some_systems(tuned, tmp_path):
    _, whole = tuned
    data = result_of(markets())
    part = tune(plan_of(), tmp_path, data, only=["GMF"])
    assert outcomes(part) == outcomes([whole[2]])
    entries = yaml.safe_load((tmp_path / "tuned.yaml").read_text())["systems"]
    assert [entry["title"] for entry in entries] == ["GMF"]
    with pytest.raises(UsageError, match="the plan does not tune 'NMF'; choose from: Popularity"):
        tune(plan_of(), tmp_path, data, only=["NMF"])


# -- what goes wrong --------------------------------------------------------------------------


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(tmp_path, monkeypatch):
    measure, calls = Bench.measure, []

    def failing(self, system, workspace):
        calls.append(system)
        if len(calls) in (1, 3):
            raise CrossmarketError("the loss is not finite")
        return measure(self, system, workspace)

    monkeypatch.setattr(Bench, "measure", failing)
    (record,) = tune(plan_of(systems=["GMF"]), tmp_path, result_of(markets()))
    assert [trial["error"] for trial in record["trials"]] == [
        "the loss is not finite",
        None,
        "the loss is not finite",
        None,
    ]
    assert [trial["value"] is None for trial in record["trials"]] == [True, False, True, False]
    assert record["default"] is None
    assert record["best"]["number"] in (1, 3)


def test_a_system_whose_trials_all_fail_is_left_out(tmp_path, monkeypatch):
    def failing(self, system, workspace):
        raise DataError("it diverged")

    monkeypatch.setattr(Bench, "measure", failing)
    place = store(tmp_path / "data").parent
    plan = write_yaml(place / "plan.yaml", {**PLAN, "systems": ["GMF"]})
    said = ok("tune", plan, "--out", tmp_path / "out").out
    assert said == "GMF: no trial succeeded (4 trials, 4 failed, 0 s): it diverged\n"
    assert json.loads((tmp_path / "out" / "gmf.json").read_text())["best"] is None
    assert yaml.safe_load((tmp_path / "out" / "tuned.yaml").read_text()) == {"systems": []}


@pytest.mark.parametrize("error", [LeakError, UsageError])
def test_a_mistake_is_no_failed_trial(tmp_path, monkeypatch, error):
    def failing(self, system, workspace):
        raise error("wrong")

    monkeypatch.setattr(Bench, "measure", failing)
    with pytest.raises(error):
        tune(plan_of(systems=["GMF"]), tmp_path, result_of(markets()))
    assert not (tmp_path / "gmf.json").exists()


def test_a_target_that_cannot_be_validated_is_refused(tmp_path):
    split = ratio_split(markets(), seed=0)
    nothing = {"mx": split.valid.edges("mx").select(slice(0, 0))}
    parts = {"train": split.train, "valid": split.valid.replace_edges(nothing), "test": split.test}
    plan = plan_of(protocol={"name": "given-full"})
    with pytest.raises(DataError, match="market 'mx' has no user with training and validation"):
        tune(plan, tmp_path, result_of(markets(), parts))


@pytest.mark.parametrize(
    ("change", "word"),
    [({"trials": 5}, "budget"), ({"seed": 1}, "seed"), ({"targets": ["uk"]}, "targets")],
)
def test_a_folder_of_another_plan_is_refused(tmp_path, change, word):
    data = result_of(markets())
    tune(plan_of(systems=["Popularity"]), tmp_path, data)
    before = (tmp_path / "popularity.json").read_bytes()
    with pytest.raises(UsageError, match=f"popularity.json was tuned with other {word}; choose"):
        tune(plan_of(systems=["Popularity"], **change), tmp_path, data)
    assert (tmp_path / "popularity.json").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": None}, "trials: field required"),
        ({"seconds": None}, "seconds: field required"),
        ({"trials": 0}, "trials: input should be greater than 0"),
        ({"seconds": 0}, "seconds: input should be greater than 0"),
        ({"speed": 1}, "speed: extra inputs are not permitted"),
        ({"systems": []}, "systems: tuple should have at least 1 item"),
        ({"systems": ["GMF", "GMF"]}, "systems: 'GMF' is there twice"),
        ({"systems": ["Best"]}, "systems: the catalogue has no system 'Best'; choose from: Pop"),
        ({"protocol": {"name": "ratio"}}, "protocol: unknown protocol 'ratio'"),
    ],
)
def test_mistakes_in_a_plan_are_refused_with_their_place(tmp_path, change, message):
    plan = {name: value for name, value in {**PLAN, **change}.items() if value is not None}
    path = write_yaml(tmp_path / "plan.yaml", plan)
    with pytest.raises(UsageError) as caught:
        load_plan(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert refused("tune", path, "--out", tmp_path / "out", code=2) == str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_system_without_a_space_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(space_module, "search_spaces", dict)
    with pytest.raises(UsageError, match="systems: the catalogue does not say which settings of"):
        load_plan(write_yaml(tmp_path / "plan.yaml", PLAN))


def test_other_mistakes_of_the_command(tmp_path):
    said = refused("tune", tmp_path / "plan.yaml", "--out", tmp_path / "out", code=2)
    assert said == f"there is no tuning file {tmp_path / 'plan.yaml'}"
    plan = write_yaml(tmp_path / "plan.yaml", PLAN)
    said = refused("tune", plan, "--out", plan, code=2)
    assert said == f"{plan} is a file; choose a folder for the results"


# -- stopping, resuming, disk -------------------------------------------------------------------


def test_an_interrupted_search_goes_on_with_the_same_trials(tuned, tmp_path, monkeypatch):
    _, whole = tuned
    measure, calls = Bench.measure, []

    def stopping(self, system, workspace):
        calls.append(system.title)
        if len(calls) % 3 == 0:
            raise KeyboardInterrupt
        return measure(self, system, workspace)

    monkeypatch.setattr(Bench, "measure", stopping)
    interrupts = 0
    while True:
        try:
            records = tune(plan_of(), tmp_path, result_of(markets()))
            break
        except KeyboardInterrupt:
            interrupts += 1
    assert interrupts == 5
    assert outcomes(records) == outcomes(whole)
    assert len(calls) == 12 + interrupts
    tune(plan_of(), tmp_path, result_of(markets()))
    assert len(calls) == 12 + interrupts  # nothing is done twice


def test_a_killed_search_goes_on_with_the_same_trials(tuned, tmp_path):
    _, whole = tuned
    store(tmp_path / "data")
    plan = write_yaml(tmp_path / "plan.yaml", {**PLAN, "systems": PLAN["systems"][1:3]})
    log, out = tmp_path / "log", tmp_path / "out"
    command = ("tune", plan, "--out", out)
    counts = [0]

    def look():
        done = [json.loads(path.read_text())["trials"] for path in out.glob("*.json")]
        counts.append(sum(map(len, done)))

    start("--help", log=log).join()  # the first process waits for the server's imports
    kill_often(*command, log=log, kills=3, longest=6, seed=4, look=look, GIT_DIR=os.devnull)
    finish(*command, log=log, GIT_DIR=os.devnull)
    assert counts == sorted(counts)  # what has ended stays
    records = [json.loads((out / name).read_text()) for name in ("item-knn.json", "gmf.json")]
    assert outcomes(records) == outcomes(whole[1:3])
    assert leftovers(out) == []
    made = {path.name for path in out.iterdir()}
    assert made == {".lock", "item-knn.json", "gmf.json", "tuned.yaml"}


def test_frozen_stages_are_trained_once_and_the_rest_is_removed(tmp_path):
    kept = []

    def look(title, trial):
        stages = {
            place: {
                path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("stage.json")
            }
            for place in ("first", "now")
            if (folder := tmp_path / "fine-tuned-backbone" / place).is_dir()
        }
        kept.append(stages)

    plan = plan_of(systems=["Fine-tuned backbone"], targets=["mx"], trials=3)
    tune(plan, tmp_path, result_of(markets()), report=look)
    assert [stages.keys() for stages in kept] == [{"first"}, {"first", "now"}, {"first", "now"}]
    first = kept[0]["first"]
    assert len(first) == 2
    for stages in kept[1:]:
        assert stages["first"] == first
        assert first.items() <= stages["now"].items()  # taken over, not trained again
        assert len(stages["now"]) == 3
    assert not (tmp_path / "fine-tuned-backbone").exists()


def test_the_command_tells_each_trial_and_what_came_of_it(tmp_path):
    store(tmp_path / "data")
    plan = write_yaml(tmp_path / "plan.yaml", PLAN)
    out = tmp_path / "out"
    result = ok("tune", plan, "--out", out, "--only", "Item kNN", "--only", "Popularity")
    popularity, knn = result.out.splitlines()
    assert popularity.endswith("(1 trial, 0 failed, 0 s): nothing to choose")
    assert knn.startswith("Item kNN: 0.")
    assert "neighbours=" in knn
    assert "Item kNN, trial 0: 0." in result.err
    assert f"wrote {out / 'tuned.yaml'}" in result.err
    assert ok("tune", plan, "--out", out, "--only", "Item kNN").out == knn + "\n"


def test_the_same_plan_under_another_protocol_and_for_other_markets(tmp_path):
    place = store(tmp_path / "data").parent
    plan = write_yaml(place / "plan.yaml", {**PLAN, "systems": ["Item kNN"], "trials": 1})
    out = tmp_path / "out"
    ok("tune", plan, "--out", out, "--protocol", "time-full", "--markets", "uk")
    (trial,) = json.loads((out / "item-knn.json").read_text())["trials"]
    key = json.loads((out / "item-knn.json").read_text())["key"]
    assert (key["protocol"], key["targets"]) == ({"name": "time-full"}, ["uk"])
    assert trial["markets"].keys() == {"uk"}
    said = refused("tune", plan, "--out", out, "--protocol", "no", code=2)
    assert "no" in said and "time-full" in said
    assert "'xx'" in refused("tune", plan, "--out", out, "--markets", "xx", code=2)
