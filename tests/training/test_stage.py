"""Stage folders: their files, their addresses, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.training.tasks import Quadratic, run

from crossmarket.errors import DataError
from crossmarket.files import file_hash
from crossmarket.training.stage import Stage, TrainedState

FILES = {"model.safetensors", "history.jsonl", "timing.json", "stage.json"}


@pytest.fixture
def folder(tmp_path):
    """A finished stage's folder."""
    run(Quadratic(), tmp_path)
    (folder,) = tmp_path.iterdir()
    return folder


def test_a_finished_stage_has_its_files_and_no_others(folder):
    assert {path.name for path in folder.iterdir()} == FILES
    kind, digest = folder.name.split("-")
    record = json.loads((folder / "stage.json").read_text())
    assert kind == "toy"
    assert len(digest) == 12
    assert record["key"]["kind"] == "toy"
    assert record["key"]["seed"] == 0
    assert record["key"]["torch"] == torch.__version__
    for name in ("model.safetensors", "history.jsonl"):
        assert record["sha256"][name] == file_hash(folder / name)
    assert record["epochs"] == 6
    lines = (folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(7))
    assert len(json.loads((folder / "timing.json").read_text())["seconds_per_epoch"]) == 6
    assert set(load_file(folder / "model.safetensors")) == {"x", "y"}


def test_a_checkpoint_left_by_a_kill_right_after_the_record_goes(folder):
    (folder / "checkpoint.safetensors").write_bytes(b"")
    run(Quadratic(), folder.parent)
    assert {path.name for path in folder.iterdir()} == FILES


def test_a_changed_model_is_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["x"] = tensors["x"] + 1e-6
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DataError, match="does not match its record; remove that folder"):
        run(Quadratic(), folder.parent)


def test_a_missing_model_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match=folder.name):
        run(Quadratic(), folder.parent)


def test_a_changed_record_is_refused(folder):
    record = json.loads((folder / "stage.json").read_text())
    record["key"]["seed"] = 5
    (folder / "stage.json").write_text(json.dumps(record))
    with pytest.raises(DataError, match="does not match its record"):
        run(Quadratic(), folder.parent)


@pytest.mark.parametrize("name", ["stage.json", "history.jsonl"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_broken_record_or_history_is_refused(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="remove that folder to train it again"):
        run(Quadratic(), folder.parent)


@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 40])
def test_a_broken_checkpoint_is_refused(tmp_path, content):
    stage = Stage(tmp_path, "toy", {})
    stage.save_checkpoint({"x": torch.zeros(1)}, {"epoch": 1})
    (stage.folder / "checkpoint.safetensors").write_bytes(content)
    with pytest.raises(DataError, match="remove that folder to train it again"):
        stage.load_checkpoint()


def test_every_part_of_the_key_leads_to_another_folder(tmp_path):
    folders = {
        Stage(tmp_path, kind, key).folder
        for kind in ("backbone", "teacher")
        for key in ({}, {"config": {"reg": 0.1}}, {"config": {"reg": 0.2}}, {"seed": 1})
    }
    assert len(folders) == 8
    assert (
        Stage(tmp_path, "a", {"x": 1, "y": 2}).hash == Stage(tmp_path, "a", {"y": 2, "x": 1}).hash
    )


def test_without_a_workspace_nothing_is_kept():
    stage = Stage(None, "toy", {})
    stage.save_checkpoint({"x": torch.zeros(1)}, {})
    stage.finish(TrainedState({"x": torch.zeros(1)}, [], 0))
    assert stage.folder is None
    assert stage.load_checkpoint() is None
    assert stage.finished() is None


def test_a_checkpoint_gives_back_tensors_and_facts(tmp_path):
    stage = Stage(tmp_path, "toy", {})
    assert stage.load_checkpoint() is None
    tensors = {"a": torch.arange(6.0).view(2, 3).T, "step": torch.tensor(7.0)}
    facts = {"epoch": 2, "best_value": -float("inf"), "history": [{"loss": 0.1 + 0.2}]}
    stage.save_checkpoint(tensors, facts)
    loaded, read = stage.load_checkpoint()
    assert read == facts
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert [path.name for path in stage.folder.iterdir()] == ["checkpoint.safetensors"]
