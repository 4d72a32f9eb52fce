"""The generators: fresh output, the results section, what happens when something is missing."""

import json
from xml.etree import ElementTree

import pytest
from docs.generators import cli, configuration, floors, leaders, results, systems
from docs.generators.markdown import anchor, replace_section, table
from tests.docs.pages import ROOT

from crossmarket.experiments.experiment import Experiment
from crossmarket.models.facts import trainable_counts
from crossmarket.models.registry import MODELS
from docs import build


def comparison(protocol, values, *, std=0.002):
    """A table as `build_table` makes it, for two markets; the first system is the reference."""
    titles = list(values)
    rows = [
        {
            "title": title,
            "seeds": [0, 1],
            "trainable": {"mx": 10, "uk": 10},
            "macro": {"ndcg@10": {"mean": value, "std": std}},
            "markets": {
                market: {"ndcg@10": {"mean": value + shift, "std": std}}
                for market, shift in (("mx", -0.1), ("uk", 0.1))
            },
        }
        for title, value in values.items()
    ]
    tests = [
        {"name": title, "mean_difference": values[title] - values[titles[0]], "p_holm": chance}
        for title, chance in zip(titles[1:], (0.001, 0.4), strict=False)
    ]
    return {
        "name": "Seven markets",
        "protocol": protocol,
        "seeds": [0, 1],
        "metrics": ["ndcg@10"],
        "reference": titles[0],
        "users": {"mx": 20, "uk": 1980},
        "systems": rows,
        "tests": tests,
    }


@pytest.fixture
def tables(tmp_path):
    made = {
        "ratio-full": comparison("ratio-full", {"DCMPT": 0.41, "EASE": 0.45, "kNN": 0.40}),
        "time-full": comparison("time-full", {"DCMPT": 0.05, "Decayed": 0.07}, std=0.0),
    }
    paths = [tmp_path / "experiments" / name / "table.json" for name in made]
    for path, value in zip(paths, made.values(), strict=True):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(value), encoding="utf-8")
    return paths


def test_generated_files_are_fresh(capsys):
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_check_names_what_is_stale(monkeypatch, capsys):
    monkeypatch.setattr(cli, "render", lambda: "something else")
    assert build.main(["--check"]) == 1
    assert "docs/cli.md" in capsys.readouterr().err


def test_missing_table_is_one_clear_sentence(monkeypatch, capsys):
    monkeypatch.setattr(build, "TABLES", ("experiments/results/none/table.json",))
    assert build.main(["--check"]) == 1
    error = capsys.readouterr().err
    assert "experiments/results/none/table.json is not there" in error
    assert len(error.splitlines()) == 1


def test_results_stand_side_by_side(tables, tmp_path):
    text = results.render(tables, tmp_path)
    lines = text.splitlines()
    header = "| system | trainable | ratio-full<br>ndcg@10 | ratio-full<br>against |"
    assert any(line.startswith(header) for line in lines)
    cells = {line.split(" | ")[0].strip("| "): line for line in reversed(lines)}
    assert cells["DCMPT"].split(" | ")[1:] == ["20", "0.4100 ± 0.0020", "–", "0.0500", "– |"]
    assert cells["EASE"].split(" | ")[2:] == ["**0.4500** ± 0.0020", "+0.0400", "–", "– |"]
    assert cells["kNN"].split(" | ")[3] == "*-0.0100*"
    assert cells["Decayed"].split(" | ")[2:] == ["–", "–", "**0.0700**", "+0.0200 |"]
    assert "[`experiments/ratio-full`](experiments/ratio-full/table.md)" in text
    assert "2 markets, seeds 0, 1, 2,000 test users a seed" in text


def test_results_are_read_aloud(tables, tmp_path):
    text = results.render(tables, tmp_path)
    assert "EASE leads with 0.4500; DCMPT is at 0.4100, place 2 of 3" in text
    assert "Decayed leads with 0.0700; DCMPT is at 0.0500, place 2 of 2" in text


def test_results_list_the_markets(tables, tmp_path):
    lines = results.render(tables, tmp_path).splitlines()
    assert "| EASE | **0.3500** | **0.5500** |" in lines
    assert "| *test users* | *20* | *1,980* |" in lines


def test_rows_with_fewer_seeds_say_so(tables, tmp_path):
    assert "of the seeds" not in results.render(tables, tmp_path)
    table = json.loads(tables[0].read_text(encoding="utf-8"))
    table["systems"][1] |= {"seeds": [0]}
    tables[0].write_text(json.dumps(table), encoding="utf-8")
    text = results.render(tables, tmp_path)
    assert "(1/2) means that many of the seeds." in text
    assert "| EASE | 20 | **0.4500** ± 0.0020 (1/2) | +0.0400 | – | – |" in text


def test_market_tables_can_be_left_out(tables, tmp_path):
    text = results.render(tables, tmp_path, by_market=False)
    assert "EASE leads" in text
    assert "market by market" not in text


def test_leaders_are_the_best_row_of_each_model(tables, tmp_path):
    path = tables[0]
    table = json.loads(path.read_text(encoding="utf-8"))
    for row in table["systems"]:
        row["model"] = "item-to-item" if row["title"] in ("EASE", "kNN") else "dcmpt"
    path.write_text(json.dumps(table), encoding="utf-8")
    (line,) = leaders.render([path], tmp_path).splitlines()[2:]
    cells = [cell.strip() for cell in line.split("|")][1:-1]
    assert cells == [
        "[`ratio-full`](experiments/ratio-full/table.md)",
        "For comparison with papers",
        "EASE 0.450",
        "DCMPT 0.410",
        "0.410, 2 of 3",
    ]


def test_without_tables_there_are_no_numbers():
    assert not any(character.isdigit() for character in results.render([], ROOT))


def test_every_system_has_a_row_and_its_settings():
    page, rows = configuration.render(), systems.render()
    for name, model in MODELS.items():
        (row,) = [line for line in rows.splitlines() if f"[`{name}`]" in line]
        assert f"| [`{name}`](docs/configuration.md#{name}) |" in row
        count = f"{trainable_counts()[name]:,}" if name in trainable_counts() else "-"
        assert f"| {model.paper} | {model.family} | {count} |" in row
        assert f"[`{name}`](#{name})" in page
        assert f"\n### {name}\n" in page
        for field in model.config_class.model_fields:
            assert f"| `{field}` |" in page
        for preset in model.presets:
            assert preset.startswith("paper-") or f"| `{preset}` |" in page


def test_every_experiment_field_is_explained():
    page = configuration.render().split("### Experiment file")[1]
    for field in Experiment.model_fields:
        assert f"`{field}`" in page


def test_every_command_is_in_the_reference():
    page = cli.render()
    names = ["demo", "models", "fit", "evaluate", "recommend", "check", "compare"]
    names += [f"data {name}" for name in ("describe", "convert", "simulate", "split")]
    for name in names:
        section = page.split(f"\n## crossmarket {name}\n")[1].split("\n## ")[0]
        assert "Example: `crossmarket " in section
        assert "--help" not in section
    assert "| `--data PATH` | Interactions of the markets. | required |" in page
    assert "| `-k N` | Length of a list. | `10` |" in page


def test_floors_show_each_package_once_from_top_to_bottom():
    picture = ElementTree.fromstring(floors.render(ROOT))
    texts = ["".join(node.itertext()) for node in picture.iter("{http://www.w3.org/2000/svg}text")]
    packages = [name.split(".")[1] for floor in floors.read_floors(ROOT) for name in floor]
    shown = [text.split(" · ")[0] for text in texts]
    places = [shown.index(package) for package in packages]
    assert places == sorted(places)
    existing = {path.parent.name for path in (ROOT / "src" / "crossmarket").glob("*/__init__.py")}
    assert existing <= set(packages)


def test_sections_are_replaced_between_their_markers():
    page = "a\n<!-- x:start -->\nold\n<!-- x:end -->\nb\n"
    assert replace_section(page, "x", "new\n") == page.replace("old", "new")
    with pytest.raises(ValueError, match="y:start"):
        replace_section(page, "y", "new")


def test_markdown_pieces():
    assert table(["a", "b"], [["1|2", "3"]], "lr") == [
        "| a | b |",
        "| --- | ---: |",
        r"| 1\|2 | 3 |",
    ]
    assert anchor("Why two protocols, and which?") == "why-two-protocols-and-which"
