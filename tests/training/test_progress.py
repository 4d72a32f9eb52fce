"""The progress bar: on a terminal only."""

import pytest

from crossmarket.training.progress import track_epochs


def show_two_epochs(visible):
    with track_epochs("backbone", 2, 0, visible) as show:
        for epoch in (1, 2):
            show({"epoch": epoch, "loss": 0.25})


@pytest.mark.parametrize("visible", [False, True])
def test_a_pipe_never_gets_a_bar(capfd, monkeypatch, visible):
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.delenv("TTY_COMPATIBLE", raising=False)
    show_two_epochs(visible)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_stage_count_and_loss_on_standard_error(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    show_two_epochs(True)
    captured = capfd.readouterr()
    assert captured.out == ""
    for text in ("backbone", "2/2", "loss 0.2500"):
        assert text in captured.err


def test_a_terminal_can_be_told_to_stay_quiet(capfd, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_two_epochs(False)
    assert capfd.readouterr() == ("", "")
