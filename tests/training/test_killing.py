"""A training that is killed at random moments ends in the bytes of one that was left alone."""

import os
import subprocess
import sys
from pathlib import Path

from tests.training.killing import fit

ROOT = Path(__file__).resolve().parents[2]


def stages(workspace):
    return {folder.name: folder for folder in workspace.iterdir() if folder.is_dir()}


def test_kills_at_random_moments_leave_no_trace(tmp_path):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-m", "tests.training.killing", str(tmp_path / "killed"), "5"]
    done = subprocess.run(
        command,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert int(done.stdout) >= 3

    fit(tmp_path / "whole")
    whole, killed = stages(tmp_path / "whole"), stages(tmp_path / "killed")
    assert whole.keys() == killed.keys()
    assert {name.rsplit("-", 1)[0] for name in whole} == {"backbone", "bb-teacher", "bb-prompts"}
    for name, folder in whole.items():
        for file in ("model.safetensors", "history.jsonl", "stage.json"):
            assert (folder / file).read_bytes() == (killed[name] / file).read_bytes(), (name, file)
        assert not (killed[name] / "checkpoint.safetensors").exists()
