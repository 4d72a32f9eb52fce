"""A device without room: one sentence, nothing half-written, and a rerun that makes it good."""

import os

import pytest
from tests.commands import start, tree
from tests.faults.killing import finish, leftovers
from tests.small import markets, settings, store

from crossmarket.files import write_atomically

ENVIRONMENT = {"GIT_DIR": os.devnull}


def fails(*command, log, largest_file):
    process = start(*command, log=log, largest_file=largest_file, **ENVIRONMENT)
    process.join()
    assert process.exitcode == 1
    lines = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in log.read_text()
    return lines[0]


@pytest.mark.parametrize("largest_file", [0, 300, 3000])
def test_convert(tmp_path, largest_file):
    data, log, out = store(tmp_path / "data"), tmp_path / "log.txt", tmp_path / "out"
    command = ("data", "convert", data, "--out", out)
    # A log of its own must fit, too.
    said = fails(*command, log=log, largest_file=max(largest_file, 200))
    assert said.startswith("error: the system refused: File too large (")
    assert {path.name for path in tmp_path.iterdir()} == {"data", "log.txt"}


def test_an_old_store_survives(tmp_path):
    data, log, out = store(tmp_path / "data"), tmp_path / "log.txt", tmp_path / "out"
    store(out, markets().select_markets(["mx"]).drop_unsold_items())
    before = tree(out)
    fails("data", "convert", data, "--out", out, log=log, largest_file=1000)
    assert tree(out) == before
    assert leftovers(tmp_path) == []


def test_fit_resumes_when_there_is_room_again(tmp_path):
    data, log = store(tmp_path / "data"), tmp_path / "log.txt"

    def command(out):
        return ("fit", "--data", data, "--out", out, "--targets", "mx", "--threads", 1, *settings())

    finish(*command(tmp_path / "whole"), log=log, **ENVIRONMENT)
    whole = tree(tmp_path / "whole", {"timing.json"})
    # Room for ever more of the files; the largest is refused each time.
    sizes = sorted({len(content) for content in whole.values()})
    for largest_file in [size - 1 for size in sizes if size > 300]:
        fails(*command(tmp_path / "run"), log=log, largest_file=largest_file)
        assert leftovers(tmp_path / "run") == []
    finish(*command(tmp_path / "run"), log=log, **ENVIRONMENT)
    assert tree(tmp_path / "run", {"timing.json"}) == whole


def test_errors_that_the_system_did_not_cause_stay_what_they_are(tmp_path):
    def write(path):
        path.write_bytes(b"half")
        raise ValueError("a mistake of the writer")

    with pytest.raises(ValueError, match="a mistake of the writer"):
        write_atomically(tmp_path / "file", write)
    assert list(tmp_path.iterdir()) == []
