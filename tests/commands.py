"""The command line as tests run it: in this process, or in one of its own that may be killed."""

import contextlib
import io
import json
import os
import resource
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from crossmarket.cli import main

#: A server that has imported all that commands need, and forks a process for each.
_CONTEXT = get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "crossmarket.cli",
        "crossmarket.experiments.checking",
        "crossmarket.experiments.compare",
        "crossmarket.experiments.run",
        "crossmarket.experiments.tables",
        # The optimisers and the deterministic mode of torch import these on their first use.
        "torch._dynamo",
        "torch._inductor",
    ]
)


@dataclass(frozen=True)
class Result:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


def run(*arguments):
    """Run a command in this process; what `main` does not turn into an exit is raised here."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["crossmarket", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
    return Result(code, out.getvalue(), err.getvalue())


def ok(*arguments):
    """Run a command that must succeed."""
    result = run(*arguments)
    assert result.code == 0, (arguments, result)
    return result


def refused(*arguments, code=None):
    """Run a command that must fail with one sentence; returns the sentence."""
    result = run(*arguments)
    assert result.code in ((1, 2) if code is None else (code,)), (arguments, result)
    lines = result.err.splitlines()
    assert len(lines) == 1, (arguments, result)
    assert lines[0].startswith("error: "), (arguments, result)
    return lines[0].removeprefix("error: ")


def start(*arguments, log, largest_file=None, **environment):
    """Start a command in a process of its own; what it prints goes to the file `log`.

    The system refuses to let a file grow beyond `largest_file` bytes, as on a full device.
    """
    words = [str(word) for word in arguments]
    process = _CONTEXT.Process(target=_child, args=(words, str(log), largest_file, environment))
    process.start()
    return process


def _child(arguments, log, largest_file, environment):
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(descriptor, stream.fileno())
    os.environ.update(environment)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    sys.argv = ["crossmarket", *arguments]
    main()


def tree(folder, without=()):
    """Bytes of every file below a folder by relative path; names in `without` are left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and path.name not in without
    }
