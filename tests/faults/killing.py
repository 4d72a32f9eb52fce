"""Kill a command again and again at random moments, until it has been hit often enough."""

import os
import random
import signal
import time

from tests.commands import start

#: Starts after which a command that ends before it can be hit is a mistake of the test.
_MOST_STARTS = 60


def finish(*command, log, **environment):
    """Run a command to its end in a process of its own; returns its wall time in seconds."""
    start("--help", log=log).join()  # the first process waits for the server's imports
    started = time.monotonic()
    process = start(*command, log=log, **environment)
    process.join()
    assert process.exitcode == 0, log.read_text()
    return time.monotonic() - started


def kill_often(*command, log, kills, longest, seed, look=lambda: None, **environment):
    """Start a command until SIGKILL has hit it `kills` times; `look` is called after each hit.

    The moments are drawn evenly from 0 to `longest` seconds after the start, and sooner once the
    command has come to its end unhit.
    """
    moments = random.Random(seed)
    hits = 0
    for _ in range(_MOST_STARTS):
        process = start(*command, log=log, **environment)
        process.join(moments.uniform(0, longest))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == -signal.SIGKILL:
            hits += 1
            look()
        else:
            assert process.exitcode == 0, log.read_text()
            longest *= 0.7
        if hits == kills:
            return
    raise AssertionError(f"only {hits} of {kills} kills hit; let the command last longer")


def leftovers(folder):
    """Temporary files and checkpoints below a folder."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.name.endswith(".tmp") or path.name.startswith("checkpoint")
    ]
