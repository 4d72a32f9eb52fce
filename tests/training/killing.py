"""Train in child processes that are killed at random moments, until one gets to the end.

Run as `python -m tests.training.killing WORKSPACE KILLS`; prints how many kills hit.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from tests.toys import TARGET, build_tiny, toy_split

from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.training.options import RunOptions

EPOCHS = 20


def fit(workspace):
    """Train the three stages of DCMPT with a checkpoint after each epoch."""
    options = RunOptions(seed=3, threads=1, workspace=workspace, checkpoint_seconds=0)
    split = toy_split()
    model = build_tiny(DCMPT, options, epochs=EPOCHS, patience=EPOCHS)
    return model.fit(split.train, target=TARGET, valid=split.valid)


def newest(workspace):
    """Time of the newest file; it grows with each checkpoint."""
    times = [0]
    for path in workspace.rglob("*"):
        try:
            times.append(path.stat().st_mtime_ns)
        except FileNotFoundError:  # replaced just now
            continue
    return max(times)


def kill_at_random(workspace):
    """Start a child, kill it some time after its first checkpoint; whether it was still alive."""
    before = newest(workspace)
    child = os.fork()
    if child == 0:
        fit(workspace)
        os._exit(0)
    while newest(workspace) == before:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    time.sleep(random.uniform(0, 0.08))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(workspace, kills):
    # The optimiser's imports take seconds; done once here, every child has them.
    torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    hits = 0
    while hits < kills and kill_at_random(workspace):
        hits += 1
    fit(workspace)
    sys.stdout.write(f"{hits}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
