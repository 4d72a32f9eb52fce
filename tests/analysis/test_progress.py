from pathlib import Path

from tests.small import markets, result_of

from crossmarket.analysis.base import Setting
from crossmarket.analysis.progress import tracked


def test_steps_are_announced_on_standard_error_if_wanted(capsys):
    for progress in (False, True):
        setting = Setting(result_of(markets()), Path("x"), ("de",), progress=progress)
        assert list(tracked(setting, [("first [1]", 1), ("second", 2)])) == [1, 2]
        out, err = capsys.readouterr()
        assert out == ""
        assert err == ("1/2 first [1]\n2/2 second\n" if progress else "")
