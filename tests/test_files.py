"""Atomic writes: the old or the new content, and nothing left behind."""

import hashlib
import json
import os

import pytest

from crossmarket.files import (
    content_hash,
    file_hash,
    read_json,
    remove_temporaries,
    write_atomically,
    write_bytes,
    write_json,
    write_text,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_whole_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "c.txt"
    write_text(path, "Grüße\n")
    assert path.read_bytes() == "Grüße\n".encode()
    assert names(path.parent) == ["c.txt"]
    write_bytes(path, b"\x00\r\n")
    assert path.read_bytes() == b"\x00\r\n"


def test_a_writer_that_fails_leaves_the_old_content(tmp_path):
    path = tmp_path / "c.txt"
    write_text(path, "old")

    def write(temporary):
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["c.txt"]


def test_the_new_content_is_on_disk_before_it_takes_the_name(tmp_path, monkeypatch):
    steps = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: steps.append(names(tmp_path)) or real(handle))
    write_text(tmp_path / "c.txt", "new")
    assert len(steps) == 2
    assert steps[0] == [f".c.txt.{os.getpid()}.tmp"]
    assert steps[1] == ["c.txt"]


def test_json_is_readable_and_the_same_for_equal_values(tmp_path):
    first, second = tmp_path / "1.json", tmp_path / "2.json"
    write_json(first, {"b": [1, 2.5, None], "a": "ü"})
    write_json(second, {"a": "ü", "b": [1, 2.5, None]})
    assert first.read_bytes() == second.read_bytes()
    assert first.read_text(encoding="utf-8").endswith("}\n")
    assert "ü" in first.read_text(encoding="utf-8")
    assert read_json(first) == {"a": "ü", "b": [1, 2.5, None]}


def test_hashes(tmp_path):
    assert content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 2})
    assert content_hash([1, 2]) != content_hash([2, 1])
    text = json.dumps({"a": "ü"}, separators=(",", ":"), ensure_ascii=False)
    assert content_hash({"a": "ü"}) == hashlib.sha256(text.encode()).hexdigest()
    write_bytes(tmp_path / "x", b"abc")
    assert file_hash(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path):
    inner = tmp_path / "stages"
    inner.mkdir()
    write_text(inner / "model.tmp", "kept: not hidden")
    write_text(inner / ".hidden", "kept: not temporary")
    (inner / ".model.1234.tmp").write_text("half")
    (tmp_path / ".folder.1.tmp").mkdir()
    (tmp_path / ".folder.1.tmp" / "part").write_text("half")
    remove_temporaries(tmp_path)
    assert names(tmp_path) == ["stages"]
    assert names(inner) == [".hidden", "model.tmp"]


class ForeignError(Exception):
    """As Polars and safetensors raise them: the system's number is in the words."""


@pytest.mark.parametrize(
    "error", [OSError(28, "full", "elsewhere"), ForeignError("failed to write: (os error 28)")]
)
def test_what_the_system_refuses_names_the_file_that_was_meant(tmp_path, error):
    def write(temporary):
        raise error

    with pytest.raises(OSError, match=r"c\.txt") as caught:
        write_atomically(tmp_path / "c.txt", write)
    assert caught.value.errno == 28
    assert caught.value.filename == str(tmp_path / "c.txt")
    assert caught.value.__cause__ is error


def test_other_errors_of_a_writer_pass_as_they_are(tmp_path):
    def write(temporary):
        raise ForeignError("a value was wrong")

    with pytest.raises(ForeignError, match="a value was wrong"):
        write_atomically(tmp_path / "c.txt", write)
