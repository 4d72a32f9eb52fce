import json
import math
import re
import shutil

import numpy as np
import polars as pl
import pytest
from tests.commands import ok, refused, tree
from tests.html_page import assert_alone
from tests.small import SIMULATION, TINY, markets, result_of

from crossmarket.data.accounting import (
    REJECTED_SCHEMA,
    FileReport,
    ReadReport,
    ReadResult,
    RowCounts,
)
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.describe import describe
from crossmarket.data.simulate import SimulationConfig, simulate
from crossmarket.errors import DataError, UsageError
from crossmarket.evaluation.evaluator import (
    LIST_METRICS,
    METRICS,
)
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.models.config import merge_values
from crossmarket.reporting import elements, quality
from crossmarket.reporting.groups import item_groups, user_groups
from crossmarket.reporting.material import Evaluation, read_run
from crossmarket.reporting.page import render_report, write_report
from crossmarket.reporting.prompts import prompt_map
from crossmarket.reporting.quality import popularity_of, standings

EVIL = "<script>alert(1)</script>&$x_1^"
TIME, RATIO = Protocol(name="time-full"), Protocol(name="ratio-full")


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quality, "RESAMPLES", 200)
        yield


@pytest.fixture
def undrawn(monkeypatch):
    """Pages whose pictures are empty, for tests that look at something else."""
    monkeypatch.setattr(elements, "inline_svg", lambda name, prefix, draw: "<svg></svg>")


def read_result():
    """The mini-markets as if read from two files, with rows that were rejected."""
    kept = markets().num_interactions
    counts = RowCounts(kept + 5, kept, 3, {"empty_id": 1, "bad_weight": 1})
    nothing = RowCounts(0, 0, 0)
    files = (FileReport("a.csv", "0" * 64, counts), FileReport("b.csv", "1" * 64, nothing))
    rows = [("a.csv", 7, "empty_id", f"{EVIL},,"), ("a.csv", 9, "bad_weight", "uk,u,i,many")]
    rejected = pl.DataFrame(rows, schema=REJECTED_SCHEMA, orient="row")
    return ReadResult(markets(), None, ReadReport(files, rejected))


def settings(model="dcmpt", targets=("de", "mx", "uk"), protocol=TIME, **values):
    config = merge_values(TINY, values) if model == "dcmpt" else values
    return resolve_settings(model, None, config, targets=targets, protocol=protocol, threads=1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """DCMPT of three mini-markets, evaluated under two protocols; tests copy what they change."""
    path = tmp_path_factory.mktemp("runs") / "shop"
    made = Run.create(path, settings(), read_result())
    made.evaluate(TIME)
    made.evaluate(RATIO)
    return path


@pytest.fixture(scope="module")
def page(run):
    return render_report(read_run(run))


@pytest.fixture
def copy(run, tmp_path):
    shutil.copytree(run, tmp_path / "shop")
    return tmp_path / "shop"


def sections(text):
    """HTML of each section by its heading."""
    found = re.findall(r"<section[^>]*><h2[^>]*>(.*?)</h2>(.*?)</section>", text, re.DOTALL)
    return dict(found)


def table(html, caption):
    """Cells of the first table whose caption starts so: exact values, or texts, by row."""
    found = re.search(
        rf"<caption><span>{re.escape(caption)}.*?<tbody>(.*?)</tbody>", html, re.DOTALL
    )
    rows = {}
    for name, cells in re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', found[1]):
        values = re.findall(r"<td([^>]*)>(.*?)</td>", cells)
        exact = [re.search(r'data-value="([^"]*)"', attributes) for attributes, _ in values]
        rows[name] = [
            float(own[1]) if own else text for own, (_, text) in zip(exact, values, strict=True)
        ]
    return rows


# -- the page -------------------------------------------------------------------------------


def test_the_page_is_whole_and_alone(page):
    parsed = assert_alone(page)
    assert "script" not in parsed.tags
    assert "script-src 'none'" in page
    assert list(sections(page)) == [
        "In short", "What was run", "Data", "time-full", "ratio-full", "Prompts", "Analyses",
    ]  # fmt: skip
    assert parsed.tags.count("svg") > 20
    assert not re.search(r"\bnan\b|\bNone\b|\binf\b", "".join(parsed.text))


def test_equal_runs_give_equal_bytes(copy, page):
    assert write_report(copy).read_bytes() == page.encode()


@pytest.mark.usefixtures("undrawn")
def test_only_the_page_is_written(copy):
    before = tree(copy)
    write_report(copy)
    after = tree(copy)
    assert set(after) - set(before) <= {"report.html", ".lock"}
    assert all(after[name] == content for name, content in before.items())


@pytest.mark.parametrize("protocol", [TIME, RATIO])
def test_numbers_are_those_of_the_evaluation(run, page, protocol):
    part = sections(page)[protocol.label]
    result = json.loads((run / protocol.fit_label / "evaluation.json").read_text())
    rows = table(part, "Means over users")
    assert list(rows) == [*result["markets"], "macro", "micro"]
    for name, cells in rows.items():
        told = result["markets"].get(name) or result[name]
        assert cells[0] == told.get("users", result["users"])
        assert cells[1:6] == [told[metric] for metric in METRICS]
        if name != "micro":
            assert cells[6:] == [told[metric] for metric in LIST_METRICS]
    costs = table(part, "Trainable numbers")
    assert {name: cells[0] for name, cells in costs.items()} == result["trainable"]
    assert all(cells[1] == 4 * cells[0] for cells in costs.values())
    names = ("NDCG@10", "Recall@10", "Hit@10", "MRR@10", "MAP@10")
    for metric, title in zip(METRICS, names, strict=True):
        against = table(part, f"{title} against")
        for name, cells in against.items():
            assert cells[0] == (result["markets"].get(name) or result[name])[metric]
            assert cells[2] == pytest.approx(cells[0] - cells[1])


def test_the_data_and_the_split_are_accounted_for(run, page):
    data = sections(page)["Data"]
    dataset = markets()
    rows = table(data, "Rows read")
    assert rows["a.csv"] == [dataset.num_interactions + 5, dataset.num_interactions, 3, 1, 1]
    for _, (read, *fates) in rows.items():
        assert read == sum(fates)
    assert "The first 2 of 2 rejected rows" in data
    sizes = table(data, "Size of each market")
    told = describe(dataset).statistics
    for market, cells in sizes.items():
        assert cells[:3] == [told[market].users, told[market].items, told[market].interactions]
    split = TIME.split(result_of(dataset), 0)
    part = sections(page)["time-full"]
    counts = table(part, "Interactions by part")
    for market, own in split.counts().items():
        assert counts[market][1:] == [own["train"], own["valid"], own["test"]]
    assert sum(counts["together"][1:]) == counts["together"][0] == dataset.num_interactions
    assert "Leak check passed" in part
    assert split.details["test_from_date"] in part


def test_trainings_are_those_on_disk(run, page):
    part = sections(page)["time-full"]
    rows = table(part, "Trained stages")
    kinds = [f"{market}-{kind}" for market in ("de", "mx", "uk") for kind in ("prompts", "teacher")]
    assert list(rows) == ["backbone", *kinds]
    for name, cells in rows.items():
        (folder,) = (run / "time-full" / "stages").glob(f"{name}-*")
        history = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
        record = json.loads((folder / "stage.json").read_text())
        assert cells[:3] == [len(history) - 1, record["best_epoch"],
                             history[record["best_epoch"]]["ndcg@10"]]  # fmt: skip
        assert cells[3:5] == [history[1]["loss"], history[-1]["loss"]]
        timing = json.loads((folder / "timing.json").read_text())["seconds_per_epoch"]
        assert cells[5] == pytest.approx(np.mean(timing))
        assert cells[7] == (folder / "model.safetensors").stat().st_size
        assert f"<h4>{name}</h4>" in part
    config = merge_values(TINY, {})
    assert rows["mx-prompts"][6] == 2 * config["num_prompts"] * config["backbone"]["embedding_size"]


def test_settings_that_differ_are_told(page):
    told = table(sections(page)["What was run"], "Settings that differ")
    assert told["num_prompts"] == ["2", "40"]
    assert told["backbone.embedding_size"] == ["8", "256"]
    assert "pretrain" not in told


# -- names that are no plain words ----------------------------------------------------------


def test_names_are_text_wherever_they_come_from(tmp_path):
    frame = simulate(SimulationConfig(**SIMULATION)).dataset.to_frame()
    frame = frame.with_columns(
        pl.col("market").replace({"uk": EVIL, "mx": "日本"}),
        *(pl.format("{}" + EVIL, name).alias(name) for name in ("user_id", "item_id")),
    )
    path = tmp_path / "<b>shop"
    data = result_of(MarketDataset.from_frame(frame))
    run = Run.create(path, settings("ease", (EVIL, "日本", "de"), RATIO), data)
    run.evaluate(RATIO)
    analyses = tmp_path / "analyses"
    analyses.mkdir()
    pl.DataFrame({EVIL: [EVIL], "n": [0.5]}).write_csv(analyses / "<i>mine.csv")
    (analyses / "<i>mine.json").write_text(json.dumps({"summary": EVIL, "protocol": EVIL}))
    page = write_report(path, analyses=analyses).read_text()
    parsed = assert_alone(page)
    assert {"script", "b", "i"}.isdisjoint(parsed.tags)
    text = "".join(parsed.text)
    assert text.count(EVIL) > 20
    assert "<i>mine" in text
    assert "“<b>shop”" in text
    assert "no training curves" in text


# -- what is missing ------------------------------------------------------------------------


@pytest.mark.usefixtures("undrawn")
def test_a_run_without_results_says_what_makes_them(copy):
    (copy / "time-full" / "evaluation.json").unlink()
    (copy / "ratio-full" / "evaluation.json").unlink()
    page = write_report(copy).read_text()
    assert_alone(page)
    parts = sections(page)
    assert "<code>crossmarket evaluate RUN --protocol time-full</code>" in parts["time-full"]
    assert "<code>crossmarket evaluate RUN --protocol ratio-full</code>" in parts["In short"]
    assert "Means over users" not in page
    assert table(parts["time-full"], "Trained stages")
    assert table(parts["time-full"], "Trainable numbers")  # the fit knows them, too


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_only_begun(tmp_path):
    Run.create(tmp_path / "run", settings(), result_of(markets()))
    page = write_report(tmp_path / "run").read_text()
    assert list(sections(page)) == ["In short", "What was run", "Data", "Prompts", "Analyses"]
    assert "<code>crossmarket evaluate RUN</code>" in page


def test_optional_parts_name_their_commands(page):
    assert "crossmarket analyse prompt-count" in sections(page)["Analyses"]


@pytest.mark.usefixtures("undrawn")
def test_one_target_and_a_second_history(tmp_path):
    run = Run.create(tmp_path / "run", settings("popularity", ("mx",), RATIO), result_of(markets()))
    run.evaluate(RATIO)
    run.evaluate(run.protocol(None, history="train+valid"))
    page = write_report(tmp_path / "run").read_text()
    assert_alone(page)
    part = sections(page)["ratio-full"]
    assert "Quality, scored from train+valid" in part
    assert "fewer than three targets" in part
    against = table(part, "NDCG@10 against")
    assert {row: cells[2] for row, cells in against.items()} == {"mx": 0, "macro": 0, "micro": 0}
    assert "Prompts" not in sections(page)


@pytest.mark.usefixtures("undrawn")
def test_a_leaky_protocol_and_a_launch_are_named_for_what_they_are(tmp_path):
    chosen = settings("popularity", ("de", "mx", "uk"), RATIO)
    run = Run.create(tmp_path / "run", chosen, result_of(markets()))
    for name in ("dcmpt-leaky", "launch@0.5", "time-full", "ratio-full"):
        run.evaluate(run.protocol(name))
    run.evaluate(run.protocol(None, refit=True))
    parts = sections(write_report(tmp_path / "run").read_text())
    order = ["time-full", "ratio-full", "ratio-full, refit", "launch@0.5", "dcmpt-leaky"]
    assert list(parts)[3:8] == order
    assert "Do not believe it" in parts["dcmpt-leaky"]


@pytest.mark.usefixtures("undrawn")
def test_analyses_are_shown_with_their_titles(run, tmp_path):
    folder = tmp_path / "analyses"
    ok("analyse", "market-similarity", "--data", run / "data", "--out", folder)
    text = write_report(run, tmp_path / "page.html", analyses=folder).read_text()
    parsed = assert_alone(text)
    part = sections(text)["Analyses"]
    assert "<h3>market-similarity</h3>" in part
    assert "FOREC, Fig. 2" in part
    assert "other data" not in part
    assert parsed.tags.count("img") == 1
    rows = pl.read_csv(folder / "market-similarity.csv")
    assert len(table(part, "Table of market-similarity")) == rows["market"].n_unique() > 2
    record = json.loads((folder / "market-similarity.json").read_text())
    (folder / "market-similarity.json").write_text(json.dumps({**record, "data": "0"}))
    again = write_report(run, tmp_path / "page.html", analyses=folder).read_text()
    assert "made of other data than this run" in again
    (folder / "market-similarity.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="no PNG"):
        write_report(run, tmp_path / "page.html", analyses=folder)


# -- numbers of the report's own ------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(run):
    return read_run(run).fitted[0]


@pytest.fixture(scope="module")
def control(fitted):
    return popularity_of(TIME, fitted.split, fitted.evaluations[0].markets)


def test_tests_are_paired_and_corrected(fitted, control):
    from scipy.stats import ttest_rel
    from statsmodels.stats.multitest import multipletests

    (evaluation,) = fitted.evaluations
    others = pl.concat([one.per_user for one in control.values()])
    rows = {row.name: row for row in standings(evaluation, others)["recall@10"]}
    p_values, own, others = [], {}, {}
    for market in evaluation.markets:
        both = evaluation.per_user.filter(market=market).join(
            control[market].per_user, on="user_id", suffix="_2"
        )
        own[market], others[market] = (both[n].to_numpy() for n in ("recall@10", "recall@10_2"))
        p_values.append(ttest_rel(own[market], others[market]).pvalue)
        row = rows[market]
        assert row.users == both.height == len(control[market].per_user)
        assert row.control == pytest.approx(others[market].mean())
        assert row.low <= row.mean <= row.high
        assert row.wins + row.ties + row.losses == row.users
        assert row.wins == (own[market] > others[market] + 1e-12).sum()
    expected = multipletests(np.nan_to_num(p_values, nan=1.0), method="holm")[1]
    assert [rows[market].p_value for market in evaluation.markets] == pytest.approx(expected)
    pooled = [np.concatenate([part[m] for m in evaluation.markets]) for part in (own, others)]
    assert rows["micro"].p_value == pytest.approx(ttest_rel(*pooled).pvalue)
    gains = [(own[m] - others[m]).mean() for m in evaluation.markets]
    assert rows["macro"].difference == pytest.approx(np.mean(gains))
    assert rows["macro"].mean == pytest.approx(np.mean([own[m].mean() for m in own]))


def test_the_gain_from_the_other_markets_is_told_where_it_was_measured(copy, page, undrawn):
    caption = "NDCG@10 against the same system learned from the market alone"
    assert caption not in page
    assert "crossmarket evaluate RUN --alone" in page
    result = Run.open(copy).evaluate(RATIO, alone=True)
    rows = table(render_report(read_run(copy)), caption)
    assert list(rows) == ["de", "mx", "uk", "macro", "micro"]
    for name, cells in rows.items():
        own, other = ({**one["markets"], **one}[name] for one in (result, result["alone"]))
        assert cells[:2] == pytest.approx([own["ndcg@10"], other["ndcg@10"]])
        assert cells[2] == pytest.approx(own["ndcg@10"] - other["ndcg@10"])


def test_the_macro_interval_keeps_the_users_of_each_market(monkeypatch):
    generator = np.random.default_rng(0)
    values = {"a": generator.normal(0, 1, 400), "b": generator.normal(1, 2, 60)}
    frames = {}
    for market, own in values.items():
        users = [str(user) for user in range(len(own))]
        frames[market] = pl.DataFrame({"market": market, "user_id": users, "m@10": own})
    nothing = pl.concat(frames.values()).with_columns(pl.lit(0.0).alias("m@10"))
    macro = np.mean([own.mean() for own in values.values()])
    result = {
        "markets": {market: {"m@10": own.mean()} for market, own in values.items()},
        "macro": {"m@10": macro},
        "micro": {"m@10": np.concatenate(list(values.values())).mean()},
    }
    monkeypatch.setattr(quality, "RESAMPLES", 4000)
    rows = standings(
        Evaluation(RATIO, result, pl.concat(frames.values()), pl.DataFrame()), nothing
    )["m@10"]
    row = next(row for row in rows if row.scope == "macro")
    spread = math.sqrt(sum(own.var() / len(own) for own in values.values())) / len(values)
    assert (row.low, row.high) == pytest.approx(
        (macro - 1.96 * spread, macro + 1.96 * spread), abs=0.1 * spread
    )


def test_groups_hold_every_user_and_every_held_out_interaction_once(run, fitted, control):
    (evaluation,) = fitted.evaluations
    split = fitted.split
    users = user_groups(evaluation, control, split)
    items = item_groups(evaluation, control, split)
    for market in evaluation.markets:
        own = users.filter(market=market)
        result = evaluation.result["markets"][market]
        assert own["count"].sum() == result["users"]
        assert own["count"].max() - own["count"].min() <= 1
        assert own["size"].is_sorted()
        weighted = (own["run"] * own["count"]).sum() / own["count"].sum()
        assert weighted == pytest.approx(result["recall@10"])
        found = items.filter(market=market)
        hits = evaluation.hits.filter(market=market)
        assert found["count"].sum() == hits.height
        total = (found["run"] * found["count"]).sum()
        assert total == pytest.approx((hits["rank"] > 0).sum())
        assert found["size"].is_sorted()
        assert set(found["group"]) <= {"0", "1-5", "6-10", "over 10"}


def test_the_map_shows_the_prompts_in_use(run, fitted):
    from safetensors.numpy import load_file

    prompts = prompt_map(fitted, ("de", "mx", "uk"))
    for place, market in enumerate(prompts.markets):
        (folder,) = (run / "time-full" / "stages").glob(f"{market}-prompts-*")
        basis = load_file(folder / "model.safetensors")["basis"]
        assert prompts.norms[place] == pytest.approx(np.linalg.norm(basis, axis=1))
    assert np.diag(prompts.cosine) == pytest.approx(np.ones(3))
    assert prompt_map(fitted, ("de",)) is None


# -- refusals -------------------------------------------------------------------------------


def test_a_wrong_path_is_one_sentence(run, tmp_path):
    assert "is no run" in refused("report", tmp_path / "nothing", code=2)
    assert "is no run" in refused("report", run / "data", code=2)
    assert "holds no analysis" in refused("report", run, "--analyses", run / "data", code=2)
    assert "ends in .html" in refused("report", run, "--out", tmp_path, code=2)
    assert "ends in .html" in refused("report", run, "--out", tmp_path / "page.pdf", code=2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("undrawn")
def test_changed_results_are_refused(copy):
    file = copy / "time-full" / "evaluation.json"
    result = json.loads(file.read_text())
    for text in ("{", "[]", json.dumps({**result, "protocol": "loo-99"}),
                 json.dumps({**result, "markets": {}})):  # fmt: skip
        file.write_text(text)
        with pytest.raises(DataError, match=r"repeat `crossmarket evaluate`"):
            write_report(copy)
    file.write_text(json.dumps(result))
    users = pl.read_parquet(file.with_suffix(".parquet"))
    users.with_columns(pl.lit("else").alias("user_id")).write_parquet(file.with_suffix(".parquet"))
    with pytest.raises(DataError, match="counted other users"):
        write_report(copy)
    (stage,) = (copy / "ratio-full" / "stages").glob("backbone-*")
    (stage / "history.jsonl").write_text("")
    with pytest.raises(DataError, match="remove that folder"):
        write_report(copy)


@pytest.mark.usefixtures("undrawn")
def test_an_interrupted_writer_leaves_the_old_page(run, tmp_path, monkeypatch):
    out = tmp_path / "page.html"
    out.write_text("old")

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", killed)
        with pytest.raises(KeyboardInterrupt):
            write_report(run, out)
    assert out.read_text() == "old"
    assert ok("report", run, "--out", out).out == f"wrote {out}\n"
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(UsageError):
        write_report(run, tmp_path)
