import csv
import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW
from tests.commands import ok, refused
from tests.html_page import assert_alone

from crossmarket.errors import DataError, UsageError
from crossmarket.experiments.leaderboard import standings
from crossmarket.experiments.leaderboard.board import Cell, Entry, sort_order
from crossmarket.experiments.leaderboard.gather import gather, read_reasons
from crossmarket.experiments.leaderboard.guide import protocol_guide, trust
from crossmarket.experiments.leaderboard.latex import tex
from crossmarket.experiments.leaderboard.plots import Axis, Point, scatter
from crossmarket.experiments.leaderboard.render import write_leaderboard
from crossmarket.experiments.leaderboard.standings import Standings
from crossmarket.experiments.systems import SystemConfig, known_systems
from crossmarket.files import write_json

ROOT = Path(__file__).resolve().parents[2]
USERS = {"de": 40, "uk": 12}
EVIL = "<script>alert(1)</script> & $x_1 | ^"
SYSTEMS = [
    SystemConfig(title="Popularity", model="popularity"),
    SystemConfig(title="EASE^R", model="ease"),
    SystemConfig(title=EVIL, model="gmf", preset="++", config={"epochs": 8}),
    SystemConfig(title="LightGCN", model="lightgcn", config={"markets": "target"}),
]
QUALITY = {"Popularity": 0.2, "EASE^R": 0.6, EVIL: 0.59}


def catalogue(protocol):
    """The systems as `known_systems` gives those of the package."""
    return {system.title: system for system in SYSTEMS}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(standings, "RESAMPLES", 50)


def values(seeds, titles, users=USERS, metrics=("ndcg@10", "recall@10")):
    """Per-user values; a system's depend on its title and the seed alone."""
    frames = []
    for title in titles:
        for seed in seeds:
            generator = np.random.default_rng([seed, *title.encode()])
            for market, count in users.items():
                noise = {metric: generator.normal(0, 0.1, count) for metric in metrics}
                columns = {name: QUALITY.get(title, 0.4) + drawn for name, drawn in noise.items()}
                ids = [f"{market}{user}" for user in range(count)]
                named = {"system": title, "seed": seed, "market": market, "user_id": ids}
                frames.append(pl.DataFrame({**named, **columns}))
    return pl.concat(frames)


def comparison(folder, *, seeds=(0,), titles=tuple(QUALITY), costs=True, per_user=None, **changes):
    """Write a folder as `compare` does; returns it."""
    per_user = values(seeds, titles) if per_user is None else per_user
    metrics = [name for name in per_user.columns if "@" in name]
    means = per_user.group_by("system", "market").agg(pl.col(metrics).mean())
    known = {system.title: system for system in SYSTEMS}
    rows = []
    for title in titles:
        own = known.get(title, SystemConfig(title=title, model="item-knn"))
        markets = {
            row["market"]: {metric: {"mean": row[metric], "std": None} for metric in metrics}
            for row in means.filter(system=title).iter_rows(named=True)
        }
        rows.append(
            {
                **own.model_dump(include={"title", "model", "preset", "config"}),
                "trainable": {"de": 10, "uk": 30},
                "markets": markets,
            }
        )
    table = {
        "name": "Small",
        "protocol": "time-full",
        "seeds": list(seeds),
        "metrics": metrics,
        "reference": "Popularity",
        "users": USERS,
        "candidates": {str(seed): f"hash-{seed}" for seed in seeds},
        "data": "d" * 64,
        "systems": rows,
        "commit": "c" * 40,
        **changes,
    }
    write_json(folder / "table.json", table)
    per_user.write_parquet(folder / "per_user.parquet")
    if costs:
        spent = {"seconds": 4.0, "cpu_seconds": 3.0}
        write_json(folder / "costs.json", {title: {"0": spent} for title in titles})
    return folder


@pytest.fixture
def board(tmp_path):
    ratio = comparison(tmp_path / "a", protocol="ratio-full", titles=("Popularity", "EASE^R"))
    return gather(
        [ratio, comparison(tmp_path / "b", seeds=(0, 1))],
        catalogue,
        {"ratio-full": {EVIL: "30 CPU minutes a seed"}},
    )


# -- gathering ------------------------------------------------------------------------------


def test_every_system_has_an_entry_and_the_telling_protocol_comes_first(board):
    assert [block.protocol for block in board.blocks] == ["time-full", "ratio-full"]
    for block in board.blocks:
        assert [entry.title for entry in block.entries] == [system.title for system in SYSTEMS]
        for entry in block.entries:
            assert bool(entry.cells) == (entry.reason is None)
            assert entry.reason != ""
    reasons = {entry.title: entry.reason for entry in board.blocks[1].entries}
    assert reasons[EVIL] == "30 CPU minutes a seed"
    assert reasons["LightGCN"] == "not measured under ratio-full yet"
    families = [system.family for system in board.systems]
    assert families == ["control", "merged", "merged", "single"]
    assert [system.uses_sources for system in board.systems] == [False, True, True, False]


def test_numbers_are_those_of_the_users(board):
    block = board.blocks[0]
    per_user = values((0, 1), QUALITY)
    for entry in block.measured:
        for metric in block.metrics:
            own = per_user.filter(system=entry.title).group_by(
                "market", "seed", maintain_order=True
            )
            table = own.agg(pl.col(metric).mean()).pivot(on="seed", values=metric, index="market")
            seeds = table.select("0", "1").to_numpy()
            for market, line in zip(table["market"], seeds, strict=True):
                cell = entry.cells[metric][market]
                assert cell.mean == pytest.approx(line.mean())
                assert cell.std == pytest.approx(line.std(ddof=1))
            macro = seeds.mean(axis=0)
            assert entry.cells[metric]["macro"].mean == pytest.approx(macro.mean())
            assert entry.cells[metric]["macro"].std == pytest.approx(macro.std(ddof=1))
    assert block.users == USERS
    assert block.seeds == (0, 1)


def test_tests_are_paired_weighted_and_corrected(board):
    block = board.blocks[0]
    users = values((0, 1), QUALITY).group_by("system", "market", "user_id").mean()
    wide = users.pivot(on="system", index=["market", "user_id"], values="ndcg@10")
    others = ("EASE^R", EVIL)
    p_values = {}
    for title in others:
        for market, count in USERS.items():
            part = wide.filter(market=market)
            difference = (part[title] - part["Popularity"]).to_numpy()
            assert len(difference) == count
            p_values[title, market] = DescrStatsW(difference).ttest_mean()[1]
            own = next(e for e in block.entries if e.title == title).cells["ndcg@10"][market].versus
            assert own.difference == pytest.approx(difference.mean())
            assert own.low <= own.difference <= own.high
            assert (own.wins, own.losses) == ((difference > 0).sum(), (difference < 0).sum())
    adjusted = multipletests(list(p_values.values()), method="holm")[1]
    cells = {entry.title: entry.cells["ndcg@10"] for entry in block.measured}
    for (title, market), p_holm in zip(p_values, adjusted, strict=True):
        assert cells[title][market].versus.p_holm == pytest.approx(p_holm)
    for title in others:
        macro = cells[title]["macro"].mean - cells["Popularity"]["macro"].mean
        assert cells[title]["macro"].versus.difference == pytest.approx(macro)
        assert cells[title]["macro"].versus.verdict == "better"
    assert cells["Popularity"]["macro"].versus is None


def test_standings_mark_the_best_and_what_is_level_with_it():
    per_user = values((0,), QUALITY)
    cells = Standings(per_user, "ndcg@10", list(USERS), "Popularity").cells()
    for column in ("macro", "de", "uk"):
        own = {title: cells[title][column] for title in QUALITY}
        best = max(own, key=lambda title: own[title].mean)
        assert own[best].standing == "best"
        assert own["Popularity"].standing == "behind"
        other = ({"EASE^R", EVIL} - {best}).pop()
        assert own[other].standing == "level"


def test_ranks_are_means_over_markets():
    table = {"A": (0.9, 0.1), "B": (0.5, 0.1), "C": (0.1, 0.3)}
    rows = [
        {"system": title, "seed": 0, "market": market, "user_id": user, "m": value}
        for title, row in table.items()
        for market, value in zip(("de", "uk"), row, strict=True)
        for user in "ab"
    ]
    ranks = Standings(pl.DataFrame(rows), "m", ["de", "uk"], "A").ranks()
    assert ranks == {"A": (1 + 2.5) / 2, "B": (2 + 2.5) / 2, "C": (3 + 1) / 2}


def test_a_second_folder_brings_seeds_and_systems(tmp_path):
    whole = comparison(tmp_path / "all", seeds=(0, 1))
    first = comparison(tmp_path / "first", seeds=(0,))
    second = comparison(tmp_path / "second", seeds=(1,))
    more = comparison(tmp_path / "more", seeds=(0,), titles=("Popularity", "Item kNN"))
    together, joined = gather([whole], catalogue), gather([first, second], catalogue)
    assert joined.blocks == together.blocks
    (block,) = gather([first, second, more], catalogue).blocks
    added = block.entries[-1]
    assert (added.title, added.seeds, added.notes) == ("Item kNN", (0,), ("1 of 2 seeds",))
    users = values((0,), ("Popularity", "Item kNN")).filter(market="uk")
    wide = users.pivot(on="system", index="user_id", values="ndcg@10")
    expected = (wide["Item kNN"] - wide["Popularity"]).mean()
    assert added.cells["ndcg@10"]["uk"].versus.difference == pytest.approx(expected)


def test_fewer_epochs_are_said(tmp_path):
    folder = comparison(tmp_path / "a")
    table = json.loads((folder / "table.json").read_text())
    table["systems"][2]["config"] = {"epochs": 2, "learning_rate": 0.5}
    write_json(folder / "table.json", table)
    (block,) = gather([folder], catalogue).blocks
    assert block.entries[2].notes[0] == "epochs 2, catalogue 8"
    assert block.entries[2].notes[1].startswith("learning_rate 0.5, catalogue ")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "e" * 64}, f"their data differ .fingerprint {'d' * 64} and {'e' * 64}."),
        ({"candidates": {"0": "other"}}, "candidates differ .hash for seed 0 hash-0 and other."),
        ({"users": {"de": 40}}, "their markets differ .list de, uk and de."),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, changes, message):
    folders = [comparison(tmp_path / "one"), comparison(tmp_path / "two", **changes)]
    with pytest.raises(UsageError, match=rf"one and .*two are both time-full, but .*{message}"):
        gather(folders, catalogue)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"{}", b"\xff"])
@pytest.mark.parametrize("name", ["table.json", "per_user.parquet"])
def test_damaged_folders_are_refused(tmp_path, name, content):
    (comparison(tmp_path / "one") / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"one/{name} is not whole; remove it and repeat"):
        gather([tmp_path / "one"], catalogue)


def test_contradictions_are_refused(tmp_path):
    one = comparison(tmp_path / "one")
    shifted = values((0,), QUALITY).with_columns(pl.col("ndcg@10") + 0.1)
    with pytest.raises(UsageError, match=r"hold different results of .* for seed 0"):
        gather([one, comparison(tmp_path / "two", per_user=shifted)], catalogue)
    shifted.write_parquet(one / "per_user.parquet")
    with pytest.raises(DataError, match=r"does not hold the ndcg@10 of 'Popularity' in de"):
        gather([one], catalogue)
    other = comparison(tmp_path / "three")
    table = json.loads((other / "table.json").read_text())
    table["systems"][1]["config"] = {"reg": 5}
    write_json(other / "table.json", table)
    with pytest.raises(UsageError, match=r"'EASE\^R' has other settings in .*three"):
        gather([comparison(tmp_path / "four"), other], catalogue)
    with pytest.raises(UsageError, match=r"has no table.json; name a folder that `compare` wrote"):
        gather([tmp_path], catalogue)
    with pytest.raises(UsageError, match="needs at least one folder"):
        gather([], catalogue)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time-full: {A: [1]}", "write reasons as"),
        ("time-ful: {A: b}", "unknown protocol 'time-ful'"),
        ("a: [", "is not readable YAML"),
    ],
)
def test_wrong_reasons_are_refused(tmp_path, text, message):
    file = tmp_path / "reasons.yaml"
    with pytest.raises(UsageError, match="there is no file of reasons"):
        read_reasons(file)
    file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_reasons(file)


def test_reasons_name_systems_that_exist(tmp_path):
    folder = comparison(tmp_path / "a")
    with pytest.raises(UsageError, match="reasons: time-full: no system has the title 'Popular'"):
        gather([folder], catalogue, {"time-full": {"Popular": "late"}})
    (block,) = gather([folder], catalogue, {"every protocol": {"LightGCN": "late"}}).blocks
    assert block.entries[3].reason == "late"


# -- rendering ------------------------------------------------------------------------------


def test_all_files_agree_on_the_numbers(board, tmp_path):
    paths = {path.suffix: path for path in write_leaderboard(tmp_path / "out", board)}
    found = json.loads(paths[".json"].read_text())
    rows = list(csv.DictReader(paths[".csv"].read_text().splitlines()))
    blocks = {block["protocol"]: block for block in found["blocks"]}
    assert len(rows) == sum(len(SYSTEMS) * 3 * len(block.metrics) for block in board.blocks)
    md, latex, page = (paths[kind].read_text() for kind in (".md", ".tex", ".html"))
    places = {system.title: place for place, system in enumerate(SYSTEMS)}
    for row in rows:
        entry = blocks[row["protocol"]]["entries"][places[row["system"]]]
        if entry["reason"] is not None:
            assert (row["mean"], row["note"]) == ("", entry["reason"])
            continue
        cell = entry["cells"][row["metric"]][row["market"]]
        assert float(row["mean"]) == cell["mean"]
        assert (float(row["std"]) if row["std"] else None) == cell["std"]
        if cell["versus"]:
            for name in ("difference", "low", "high", "p_holm"):
                assert float(row[name]) == cell["versus"][name]
        shown = f"{cell['mean']:.4f}"
        for text in (md, latex, page):
            assert shown in text
    for text, pattern in (
        (md, r"\| EASE\^R \| ([^|]*)"),
        (latex, r"EASE\\textasciicircum\{\}R & ([\d.]+)"),
    ):
        entry = blocks["time-full"]["entries"][1]
        assert f"{entry['rank']['ndcg@10']:.1f}" in [m.strip() for m in re.findall(pattern, text)]


def test_equal_input_gives_equal_bytes(board, tmp_path):
    one, two = (write_leaderboard(tmp_path / name, board) for name in ("one", "two"))
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    copies = [comparison(tmp_path / "moved", seeds=(0, 1))]
    copies.append(
        comparison(tmp_path / "too", protocol="ratio-full", titles=("Popularity", "EASE^R"))
    )
    again = gather(copies, catalogue, {"ratio-full": {EVIL: "30 CPU minutes a seed"}})
    assert [p.read_bytes() for p in write_leaderboard(tmp_path / "three", again)] == [
        path.read_bytes() for path in one
    ]


def test_the_page_is_whole_inert_and_alone(board, tmp_path):
    *_, path = write_leaderboard(tmp_path, board)
    text = path.read_text()
    page = assert_alone(text)
    assert page.tags.count("script") == 1
    assert page.tags.count("table") == 1 + sum(len(block.metrics) for block in board.blocks)
    assert EVIL in page.text
    assert "alert(1)" not in text.split("<script>")[1].split("</script>")[0]
    assert "fetch(" not in text
    assert "innerHTML" not in text
    assert ("th", "aria-sort", "descending") in page.attributes


def test_protocols_on_the_same_data_are_paired_first(tmp_path):
    places = {"time-full": "d", "m3rec": "e", "forec": "d"}
    folders = [
        comparison(tmp_path / name, protocol=name, data=64 * data) for name, data in places.items()
    ]
    *_, path = write_leaderboard(tmp_path / "out", gather(folders, catalogue))
    told = re.findall(r"(\w+) against time-full|mind the different (.+?)\.", path.read_text())
    kept = list(dict.fromkeys(name or scales for name, scales in told))
    assert kept == ["forec", "scales", "m3rec", "data and scales"]


def test_tex_and_markdown_escape(board, tmp_path):
    assert tex("A^B & 5 %_") == r"A\textasciicircum{}B \& 5 \%\_"
    write_leaderboard(tmp_path, board)
    latex = (tmp_path / "leaderboard.tex").read_text()
    body = latex.split("\n", 1)[1]
    assert not re.search(r"(?<!\\)[%#_]|\^", body)
    assert body.count("{") == body.count("}")
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {4}
    md = (tmp_path / "leaderboard.md").read_text()
    assert "<script>" not in md
    tables = [line for line in md.splitlines() if line.startswith("| ")]
    assert any(r"\|" in line for line in tables)


def test_sort_order_is_best_first_and_empty_last():
    def entry(title, mean):
        cells = {"m": {"macro": Cell(mean, None, "behind", None)}} if mean is not None else {}
        return Entry(title, None if cells else "late", cells=cells)

    entries = [entry("a", 0.2), entry("b", None), entry("c", 0.5), entry("d", 0.2)]
    assert sort_order(entries, "m") == [2, 0, 3, 1]


def test_labels_of_a_plot_do_not_overlap():
    generator = np.random.default_rng(0)
    points = [
        Point(f"System {place}", "merged", 10**x, y, "detail")
        for place, (x, y) in enumerate(generator.random((40, 2)))
    ]
    drawn = scatter(points, Axis("x", log=True), Axis("y"), "plot")
    found = re.findall(r'class="label" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)', drawn)
    boxes = [(float(x), float(y), len(text) * 5.9) for x, y, text in found]
    assert 10 < len(boxes) <= 40
    for place, (x, y, width) in enumerate(boxes):
        assert x >= 0 and x + width <= 760
        for left, top, other in boxes[place + 1 :]:
            assert abs(y - top) >= 11.8 or x + width <= left + 0.2 or left + other <= x + 0.2
    assert drawn.count("<title>") == 40


def test_protocols_are_ordered_by_trust():
    assert next(iter(protocol_guide())) == "time-full"
    labels = ["other", "acmr-union", "launch@0.1", "time-full, refit", "ratio-full", "time-full"]
    ordered = ["time-full", "time-full, refit", "ratio-full", "launch@0.1", "acmr-union", "other"]
    assert sorted(labels, key=trust) == ordered


# -- command and real results ---------------------------------------------------------------


def test_the_command(tmp_path):
    titles = ("Popularity", "EASE^R merged")
    folder = comparison(tmp_path / "a", titles=titles)
    reasons = tmp_path / "reasons.yaml"
    reasons.write_text(yaml.safe_dump({"time-full": {"DCMPT": "later"}}))
    said = ok("leaderboard", folder, "--out", tmp_path / "out", "--reasons", reasons).out
    assert f"time-full: 2 of {len(known_systems())} systems measured" in said
    for kind in ("json", "csv", "md", "tex", "html"):
        assert (tmp_path / "out" / f"leaderboard.{kind}").is_file()
    assert "DCMPT: later." in (tmp_path / "out" / "leaderboard.md").read_text()
    assert "is a file" in refused("leaderboard", folder, "--out", reasons, code=2)


def test_the_committed_results_gather():
    place = ROOT / "experiments" / "results" / "laboratory"
    folders = [place / "time-full", place / "ratio-full"]
    board = gather(folders)
    for folder, block in zip(folders, board.blocks, strict=True):
        table = json.loads((folder / "table.json").read_text())
        entries = {entry.title: entry for entry in block.entries}
        assert len(block.measured) == len(table["systems"]) > 30
        for row in table["systems"]:
            for metric in block.metrics:
                cell = entries[row["title"]].cells[metric]["macro"]
                assert cell.mean == pytest.approx(row["macro"][metric]["mean"])
    # Each ran with the settings that the catalogue has for its protocol.
    notes = [note for block in board.blocks for entry in block.entries for note in entry.notes]
    assert not [note for note in notes if "catalogue" in note]
