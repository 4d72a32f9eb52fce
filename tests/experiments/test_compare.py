import json
import os

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW
from tests.commands import ok, refused, tree
from tests.small import TINY, markets, plant, result_of, store, with_parts, write_yaml

from crossmarket.data.store import write_store
from crossmarket.errors import UsageError
from crossmarket.evaluation.evaluator import evaluate_market
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.compare import Comparison, run_experiment
from crossmarket.experiments.experiment import Experiment, load_experiment
from crossmarket.experiments.fitting import fit_target
from crossmarket.experiments.locking import locked
from crossmarket.experiments.systems import SystemConfig
from crossmarket.experiments.tables import build_table, to_frame, to_markdown, write_table
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions

SYSTEMS = [
    {"title": "Popularity", "model": "popularity"},
    {"title": "Item kNN", "model": "item-knn"},
    {"title": "EASE", "model": "ease", "config": {"markets": "target"}},
    {"title": "DCMPT", "model": "dcmpt", "config": TINY},
]
EXPERIMENT = {
    "name": "Small",
    "about": "Four systems on mini-markets.",
    "data": "data",
    "targets": ["mx", "uk"],
    "seeds": [0, 1],
    "reference": "Popularity",
    "metrics": ["ndcg@10", "recall@5"],
    "threads": 1,
    "systems": SYSTEMS,
}
TABLES = ("table.md", "table.csv", "table.json", "per_user.parquet")


@pytest.fixture(autouse=True)
def no_repository(monkeypatch):
    """Tables name the commit they are made from; here it must not change meanwhile."""
    monkeypatch.setenv("GIT_DIR", os.devnull)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    place = tmp_path_factory.mktemp("compared")
    store(place / "data")
    path = write_yaml(place / "experiment.yaml", EXPERIMENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GIT_DIR", os.devnull)
        result = ok("compare", path, "--out", place / "out")
    table = json.loads((place / "out" / "table.json").read_text())
    per_user = pl.read_parquet(place / "out" / "per_user.parquet")
    return place, result, table, per_user


# -- the file -------------------------------------------------------------------------------


def changed(**changes):
    return {name: value for name, value in {**EXPERIMENT, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (changed(speed=3), "speed: extra inputs are not permitted"),
        (changed(name=None), "name: field required"),
        (changed(systems=[]), "systems: tuple should have at least 1 item"),
        (
            changed(systems=[{"title": "A", "model": "popularity", "modle": 1}]),
            "systems.0.modle: extra inputs are not permitted",
        ),
        (changed(systems=[*SYSTEMS, SYSTEMS[0]]), "titles of systems: 'Popularity' is there twice"),
        (
            changed(systems=[{"title": "Popularity", "model": "popular"}]),
            "system 'Popularity': there is no model 'popular'; choose from: dcmpt",
        ),
        (
            changed(systems=[{"title": "Popularity", "model": "ease", "preset": "big"}]),
            "system 'Popularity': ease has no preset 'big'",
        ),
        (
            changed(systems=[{"title": "Popularity", "model": "ease", "config": {"rge": 1}}]),
            "system 'Popularity': ease: setting 'rge'",
        ),
        (
            changed(systems=[{"title": "Popularity", "model": "popularity", "source_split": "x"}]),
            "systems.0.source_split: input should be 'train' or 'all'",
        ),
        (
            changed(reference="Best"),
            "reference: no system has the title 'Best'; choose from: Popularity, Item kNN",
        ),
        (changed(reference=None), "reference: field required"),
        (changed(metrics=["ndcg@10", "auc"]), "metrics: there is no metric 'auc'"),
        (changed(metrics=["ndcg@0"]), "metrics: there is no metric 'ndcg@0'"),
        (changed(metrics=["ndcg@5", "ndcg@5"]), "metrics: 'ndcg@5' is there twice"),
        (changed(metrics=[]), "metrics: tuple should have at least 1 item"),
        (changed(seeds=[]), "seeds: tuple should have at least 1 item"),
        (changed(seeds=[-1]), "seeds.0: input should be greater than or equal to 0"),
        (changed(seeds=[0, 1, 0]), "seeds: 0 is there twice"),
        (changed(threads=0), "threads: input should be greater than 0"),
        (changed(targets=[]), "targets"),
        (changed(protocol={"name": "ratio"}), "protocol: unknown protocol 'ratio'"),
        (changed(protocol={"name": "launch@7"}), "protocol: protocol 'launch@7': the fraction"),
        (changed(protocol={"cuts": ["2020-01-01", "2020-02-01"]}), "protocol: cut dates belong"),
        (changed(protocol={"name": "ratio-full", "historie": "train"}), "protocol.historie"),
        ([1, 2], "the file: input should be a valid dictionary"),
        (None, "the file: input should be a valid dictionary"),
    ],
)
def test_mistakes_are_refused_with_their_place(tmp_path, experiment, message):
    path = write_yaml(tmp_path / "experiment.yaml", experiment)
    with pytest.raises(UsageError) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    said = refused("compare", path, "--out", tmp_path / "out", code=2)
    assert said == str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"name: [", b"a: b: c", b"\tname: x", b"\xff\xfe\x00", b"%"])
def test_broken_yaml_is_refused(tmp_path, content):
    path = tmp_path / "experiment.yaml"
    path.write_bytes(content)
    said = refused("compare", path, "--out", tmp_path / "out", code=2)
    assert said.startswith(f"{path} is not readable YAML: ")
    assert content == b"\xff\xfe\x00" or "line 1, column " in said


def test_a_missing_file_missing_data_or_an_unknown_market(tmp_path):
    out = ("--out", tmp_path / "out")
    path = tmp_path / "experiment.yaml"
    assert refused("compare", path, *out, code=2) == f"there is no experiment file {path}"
    write_yaml(path, EXPERIMENT)
    assert "data does not exist" in refused("compare", path, *out, code=2)
    store(tmp_path / "data")
    write_yaml(path, changed(targets="fr"))
    assert "there is no market 'fr'" in refused("compare", path, *out, code=2)
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").write_text("mine")
    write_yaml(path, EXPERIMENT)
    assert "is a file" in refused("compare", path, *out, code=2)


def test_defaults_of_an_experiment(tmp_path):
    system = {"title": "A", "model": "ease"}
    path = write_yaml(
        tmp_path / "e.yaml", {"name": "x", "data": "d", "systems": [system], "reference": "A"}
    )
    assert load_experiment(path) == Experiment(
        name="x",
        data="d",
        reference="A",
        systems=(SystemConfig(title="A", model="ease"),),
        targets="all",
        protocol=Protocol(),
        seeds=(0,),
        metrics=("ndcg@10", "recall@10"),
    )


# -- the results ----------------------------------------------------------------------------


def test_the_command_prints_the_table_and_writes_four_files(compared):
    place, result, _, _ = compared
    assert result.out.strip() == (place / "out" / "table.md").read_text().strip()
    assert all((place / "out" / name).is_file() for name in TABLES)
    assert result.err.splitlines()[-1].startswith("wrote ")
    assert sum(line.startswith("DCMPT, seed") for line in result.err.splitlines()) == 2


def test_per_user_values_are_those_of_the_evaluator(compared):
    _, _, _, per_user = compared
    assert per_user.columns[:4] == ["system", "seed", "market", "user_id"]
    for seed in (0, 1):
        protocol = Protocol()
        split = protocol.split(result_of(markets()), seed)
        for system in SYSTEMS:
            options = RunOptions(seed=seed, threads=1)
            model = build_model(system["model"], None, system.get("config"), options)
            model.fit(split.train, target="mx", valid=split.valid)
            expected = evaluate_market(model, protocol, split, "mx", ["ndcg@10", "recall@5"])
            found = per_user.filter(system=system["title"], seed=seed, market="mx")
            columns = ["user_id", "ndcg@10", "recall@5"]
            assert found.select(columns).equals(expected.per_user.select(columns).sort("user_id"))


def test_cells_are_means_over_users_then_over_seeds(compared):
    _, _, table, per_user = compared
    by_seed = per_user.group_by("system", "market", "seed").agg(
        pl.col("ndcg@10", "recall@5").mean()
    )
    for row in table["systems"]:
        macro = {"ndcg@10": [], "recall@5": []}
        for market in ("mx", "uk"):
            own = by_seed.filter(system=row["title"], market=market).sort("seed")
            for metric, seen in macro.items():
                values = own[metric].to_numpy()
                cell = row["markets"][market][metric]
                assert cell["mean"] == pytest.approx(values.mean(), abs=1e-12)
                assert cell["std"] == pytest.approx(values.std(ddof=1), abs=1e-12)
                seen.append(values)
        for metric, values in macro.items():
            means = np.mean(values, axis=0)
            assert row["macro"][metric]["mean"] == pytest.approx(means.mean(), abs=1e-12)
            assert row["macro"][metric]["std"] == pytest.approx(means.std(ddof=1), abs=1e-12)


def test_tests_are_paired_over_users_and_holm_corrected_as_in_statsmodels(compared):
    _, _, table, per_user = compared
    people = per_user.group_by("system", "market", "user_id").agg(pl.col("ndcg@10").mean())
    people = people.sort("market", "user_id")
    reference = people.filter(system="Popularity")
    differences = {}
    for title in ("Item kNN", "EASE", "DCMPT"):
        own = people.filter(system=title)
        assert own.select("market", "user_id").equals(reference.select("market", "user_id"))
        differences[title] = (own["ndcg@10"] - reference["ndcg@10"]).to_numpy()
    raw = [float(DescrStatsW(values).ttest_mean(0)[1]) for values in differences.values()]
    corrected = multipletests(raw, method="holm")[1]
    assert [test["name"] for test in table["tests"]] == list(differences)
    for test, plain, holm in zip(table["tests"], raw, corrected, strict=True):
        values = differences[test["name"]]
        assert test["num_users"] == len(values)
        assert test["mean_difference"] == pytest.approx(values.mean(), abs=1e-12)
        assert test["p_value"] == pytest.approx(plain, rel=1e-6)
        assert test["p_holm"] == pytest.approx(holm, rel=1e-6)
        assert test["wins"] == (values > 1e-9).sum()
        assert test["losses"] == (values < -1e-9).sum()


def test_the_table_says_what_it_is_of(compared):
    _, _, table, _ = compared
    assert table["data"] == markets().fingerprint
    assert table["protocol"] == "ratio-full"
    assert table["seeds"] == [0, 1]
    assert table["metrics"] == ["ndcg@10", "recall@5"]
    counts = []
    for seed in (0, 1):
        split = Protocol().split(result_of(markets()), seed)
        assert table["candidates"][str(seed)] == Protocol().candidates_hash(split)
        counts.append({m: len(Protocol().held_out(split, m)) for m in ("mx", "uk")})
    first, second = counts
    assert table["users"] == {m: round((first[m] + second[m]) / 2) for m in first}
    assert table["systems"][0]["trainable"] == {"mx": 0, "uk": 0}
    assert table["systems"][3]["trainable"] == {"mx": 32, "uk": 32}


def test_markdown_has_a_block_for_each_metric_and_marks_the_best(compared):
    place, _, table, _ = compared
    text = (place / "out" / "table.md").read_text()
    assert text == to_markdown(table)
    assert text.startswith("# Small\n\nFour systems on mini-markets.\n")
    for metric in ("ndcg@10", "recall@5"):
        block = text[text.index(f"| {metric} |") :].split("\n\n")[0].splitlines()[2:]
        assert [line.split("|")[1].strip() for line in block] == [s["title"] for s in SYSTEMS]
        for column in (3, 4, 5):
            cells = [line.split("|")[column].strip() for line in block]
            numbers = [float(cell.split(" ± ")[0].strip("*")) for cell in cells]
            marked = {number for number, cell in zip(numbers, cells, strict=True) if "**" in cell}
            assert marked == {max(numbers)}
    assert "Against Popularity on ndcg@10, paired over users" in text


def test_csv_is_the_long_form(compared):
    place, _, table, _ = compared
    frame = pl.read_csv(place / "out" / "table.csv")
    columns = ["system", "market", "metric", "mean", "std", "seeds", "users", "trainable"]
    assert frame.columns == columns
    assert frame.height == len(SYSTEMS) * 3 * 2
    row = frame.row(
        by_predicate=(pl.col("system") == "DCMPT")
        & (pl.col("market") == "uk")
        & (pl.col("metric") == "recall@5"),
        named=True,
    )
    cell = table["systems"][3]["markets"]["uk"]["recall@5"]
    assert (row["mean"], row["std"], row["trainable"]) == (cell["mean"], cell["std"], 32)
    assert (row["users"], row["seeds"]) == (table["users"]["uk"], 2)
    assert to_frame(table).equals(frame)


def test_a_system_with_fewer_seeds_is_marked(compared):
    place, _, _, _ = compared
    experiment, records, per_user = run_experiment(place / "experiment.yaml", place / "out")
    missing = {"title": "DCMPT", "seed": 1}
    fewer = [one for one in records if not missing.items() <= one.items()]
    kept = per_user.filter((pl.col("system") != "DCMPT") | (pl.col("seed") == 0))
    table = build_table(experiment, fewer, kept)
    text = to_markdown(table)
    assert "± between seeds. (1/2) means that many of the seeds.\n" in text
    marked = [line.split("|")[1].strip() for line in text.splitlines() if "(1/2) |" in line]
    assert marked == ["DCMPT", "DCMPT"]
    seeds = dict(to_frame(table).select("system", "seeds").unique().iter_rows())
    assert seeds["DCMPT"] == 1
    assert seeds["Popularity"] == 2


def test_a_rerun_computes_nothing_and_gives_the_same_bytes(compared, monkeypatch):
    place, _, _, _ = compared
    before = tree(place / "out")
    times = {path: path.stat().st_mtime_ns for path in (place / "out" / "results").iterdir()}

    def refuse(*arguments, **options):
        raise AssertionError("a cached result was computed again")

    monkeypatch.setattr("crossmarket.experiments.compare.fit_target", refuse)
    shown = ok("compare", place / "experiment.yaml", "--out", place / "out", "--json")
    assert tree(place / "out") == before
    assert shown.out.strip() == before["table.json"].decode().strip()
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_what_a_kill_left_while_tables_were_written_goes(compared):
    place, _, _, _ = compared
    before = tree(place / "out")
    (place / "out" / ".table.md.1.tmp").touch()
    ok("compare", place / "experiment.yaml", "--out", place / "out")
    assert tree(place / "out") == before


def test_a_damaged_result_is_named_and_computed_again_without_it(tmp_path):
    store(tmp_path / "data")
    path = write_yaml(tmp_path / "experiment.yaml", changed(systems=SYSTEMS[:1], seeds=[0]))
    out = tmp_path / "out"
    command = ("compare", path, "--out", out)
    ok(*command)
    whole = tree(out)
    (record,) = out.glob("results/*.json")
    rows = json.loads(record.read_text())["rows"]["per_user"]
    for file in (record, record.with_suffix(".per_user.parquet"), out / f"rows/{rows}.parquet"):
        file.write_bytes(file.read_bytes()[:5])
        said = refused(*command, code=1)
        assert said == f"{file} is not whole; remove it and repeat the command that wrote it"
        file.unlink()
        ok(*command)
        assert tree(out) == whole


def test_one_more_system_computes_that_one_only(compared, tmp_path, monkeypatch):
    place, _, table, _ = compared
    more = changed(
        systems=[*SYSTEMS, {"title": "New", "model": "popularity", "config": {"markets": "all"}}]
    )
    path = write_yaml(place / "more.yaml", more)
    fitted = []

    def watch(build, *arguments, **options):
        fitted.append(build().name)
        return fit_target(build, *arguments, **options)

    monkeypatch.setattr("crossmarket.experiments.compare.fit_target", watch)
    _, records, per_user = run_experiment(path, place / "out")
    assert fitted == ["popularity"] * 4  # two markets, two seeds
    wider = build_table(load_experiment(path), records, per_user)
    assert wider["systems"][:4] == table["systems"]


def test_a_title_is_no_part_of_a_result(compared, monkeypatch):
    place, _, table, _ = compared
    renamed = [{**SYSTEMS[0], "title": "Best sellers"}, *SYSTEMS[1:]]
    path = write_yaml(place / "renamed.yaml", changed(systems=renamed, reference="Best sellers"))
    monkeypatch.setattr("crossmarket.experiments.compare.fit_target", None)
    experiment, records, per_user = run_experiment(path, place / "out")
    again = build_table(experiment, records, per_user)
    assert again["systems"][0]["title"] == "Best sellers"
    assert again["systems"][0]["macro"] == table["systems"][0]["macro"]


def test_a_reference_alone_is_tested_against_nothing(tmp_path):
    experiment = Experiment.model_validate(changed(systems=SYSTEMS[:1], seeds=[0]))
    comparison = Comparison(experiment, tmp_path / "out", result_of(markets()))
    records, per_user = comparison.run()
    table = build_table(experiment, records, per_user)
    assert table["tests"] == []
    assert table["systems"][0]["macro"]["ndcg@10"]["std"] is None
    paths = write_table(tmp_path / "out", table, per_user)
    assert [path.name for path in paths] == list(TABLES)
    assert "Against" not in paths[0].read_text()
    assert "±" not in paths[0].read_text().split("\n| ndcg@10 |")[1].split("\n\n")[0]


def test_all_targets_are_all_markets(tmp_path):
    experiment = Experiment.model_validate(changed(targets="all"))
    assert Comparison(experiment, tmp_path, result_of(markets())).targets == ("de", "mx", "uk")
    experiment = Experiment.model_validate(changed(targets="mx"))
    assert Comparison(experiment, tmp_path, result_of(markets())).targets == ("mx",)


def test_two_comparisons_at_once_in_one_folder_are_refused(tmp_path):
    store(tmp_path / "data")
    path = write_yaml(tmp_path / "experiment.yaml", EXPERIMENT)
    with locked(tmp_path / "out"):
        said = refused("compare", path, "--out", tmp_path / "out", code=2)
    assert said == f"another process is at work in {tmp_path / 'out'}; wait for it to end"


def test_a_leak_stops_a_comparison(tmp_path):
    split = plant(Protocol().split(result_of(markets()), 0), 4)
    write_store(with_parts(split), tmp_path / "data")
    path = write_yaml(
        tmp_path / "experiment.yaml", changed(protocol={"name": "given-full"}, systems=SYSTEMS[:1])
    )
    said = refused("compare", path, "--out", tmp_path / "out", code=1)
    assert said.startswith("the split leaks 4 interaction(s)")
    assert not (tmp_path / "out" / "table.md").exists()
