"""What the pages say holds: code runs, commands work, links resolve, generated text is fresh."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.commands import run
from tests.docs.pages import (
    NOT_RUN,
    PAGES,
    ROOT,
    anchors,
    blocks,
    commands,
    links,
    name_of,
    text_of,
)
from tests.packages import EXAMPLE, install_example

from crossmarket.models.dcmpt.config import VARIANTS
from crossmarket.models.dcmpt.model import DCMPT

LIVE = [
    page for page in PAGES if any(block.language in ("python", "bash") for block in blocks(page))
]
FORBIDDEN = re.compile(
    r"(?<![\w.])/(?:work|root|home|tmp|Users)/|/work\b|\bTODO\b|\bTBD\b|\bFIXME\b"
)


@pytest.mark.parametrize("page", LIVE, ids=name_of)
def test_code_blocks_run_in_order(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    # As after the `pip install` that a page shows.
    monkeypatch.syspath_prepend(install_example(tmp_path / "site-packages"))
    namespace = {"__name__": "page"}
    for block in blocks(page):
        if block.file is not None:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            place = f"{name_of(page)}:{block.line}"
            exec(compile(block.text, place, "exec"), namespace)
        elif block.language == "bash":
            for command in commands(block):
                if command.words[0] == "crossmarket":
                    result = run(*command.words[1:])
                    assert result.code == command.exit_code, (command, result)
                    assert result.code == 0 or result.err.startswith("error: ")


def test_the_files_of_the_example_stand_whole_in_the_page():
    shown = {block.file: block.text for block in blocks(ROOT / "docs" / "adding-a-system.md")}
    del shown[None]
    files = [path for path in EXAMPLE.iterdir() if path.is_file()]
    assert shown == {path.name: text_of(path) for path in files}
    assert len(shown["biased_mf.py"].splitlines()) <= 100


def test_the_installed_script_runs_the_same_command_line(tmp_path):
    script = Path(sys.executable).with_name("crossmarket")
    done = subprocess.run(
        [script, "data", "simulate", "--out", "markets"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("wrote ")
    assert (tmp_path / "markets" / "data.json").is_file()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_shown_commands_exist(page):
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    for block in blocks(page):
        assert block.language in ("python", "bash", "text", "toml", "yaml"), (page, block.line)
        if block.language != "bash":
            continue
        for command in commands(block):
            first, *rest = command.words
            assert first == "crossmarket" or first in NOT_RUN, command
            if first == "make":
                assert {word for word in rest if "=" not in word} <= targets, command


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_in_prose_exist(page):
    targets = set(re.findall(r"^([a-z]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z]+)", text_of(page))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_resolve(page):
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name_of(page)} links to {link}"
        if fragment:
            assert fragment in anchors(linked), f"{name_of(page)} links to {link}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_are_clean(page):
    for number, line in enumerate(text_of(page).splitlines(), start=1):
        assert not FORBIDDEN.search(line), f"{name_of(page)}:{number}: {line}"
        assert line == line.rstrip(), f"{name_of(page)}:{number} ends in blanks"


def test_every_page_is_in_the_index():
    index = ROOT / "docs" / "index.md"
    listed = {(index.parent / link).resolve() for link in links(index)}
    assert set((ROOT / "docs").glob("*.md")) - {index} <= listed


def test_files_named_in_the_architecture_exist():
    text = text_of(ROOT / "docs" / "architecture.md")
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]*)+(?:\.py)?)`", text)) - {"docs/"}
    assert len(named) > 10
    for path in named:
        assert (ROOT / "src" / "crossmarket" / path).exists(), path


def test_files_named_in_reproducing_exist():
    named = re.findall(
        r"experiments/[\w-]+\.(?:yaml|py)", text_of(ROOT / "docs" / "reproducing.md")
    )
    assert named
    assert [path for path in named if not (ROOT / path).is_file()] == []


def test_concepts_name_every_variant():
    text = text_of(ROOT / "docs" / "concepts.md")
    for name in VARIANTS:
        presets = {name, f"paper-{name}"} & DCMPT.presets.keys()
        assert any(f"`{preset}`" in text for preset in presets), name
