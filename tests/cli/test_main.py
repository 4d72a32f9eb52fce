"""What the entry point makes of errors, of `--debug` and of an interrupt."""

import errno

import pytest
from tests.commands import refused, run
from tests.small import store

from crossmarket.errors import DataError, UsageError


@pytest.fixture
def describe(tmp_path, monkeypatch):
    """Arguments of a command whose work raises whatever a test wants."""

    def raising(error):
        def fail(*arguments):
            raise error

        monkeypatch.setattr("crossmarket.cli.data.describe_dataset", fail)
        return ("data", "describe", store(tmp_path / "markets"))

    return raising


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataError("the data are bad; mend them"), 1, "the data are bad; mend them"),
        (UsageError("that is no way; take another"), 2, "that is no way; take another"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/x/y"),
            1,
            "the system refused: No space left on device (/x/y)",
        ),
        (TimeoutError(), 1, "the system refused: TimeoutError"),
    ],
)
def test_an_error_is_one_sentence_and_a_traceback_with_debug(describe, error, code, said):
    arguments = describe(error)
    assert refused(*arguments, code=code) == said
    with pytest.raises(type(error)):
        run(*arguments, "--debug")
    with pytest.raises(type(error)):
        run("--debug", *arguments)


def test_a_mistake_of_the_program_is_not_hidden(describe):
    with pytest.raises(ZeroDivisionError):
        run(*describe(ZeroDivisionError()))


def test_an_interrupt_says_how_to_go_on(describe):
    stopped = run(*describe(KeyboardInterrupt()))
    assert stopped.code == 130
    assert stopped.err == "stopped; the same command resumes\n"


def test_debug_shows_usage_errors_too():
    assert refused("fit", "--data", "x", code=2) == "missing option '--out'; see --help"
    with pytest.raises(Exception, match="out"):
        run("fit", "--data", "x", "--debug")
