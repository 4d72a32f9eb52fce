"""Systems of the catalogue by title, and by patterns of titles."""

import pytest
from tests.commands import refused

from crossmarket.errors import UsageError
from crossmarket.experiments.systems import known_systems, matching_titles


def test_titles_keep_their_order_and_patterns_have_the_catalogues():
    assert matching_titles(["GMF", "EASE^R *", "GMF"]) == ("GMF", "EASE^R single", "EASE^R merged")
    assert matching_titles(["*"]) == tuple(known_systems())


def test_a_title_is_no_pattern_of_longer_ones():
    assert matching_titles(["DCMPT"]) == ("DCMPT",)


def test_what_matches_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no system 'EASY\*'; choose from: Popularity; "):
        matching_titles(["GMF", "EASY*"])
    given = ("--data", tmp_path, "--out", tmp_path, "--systems", "GMF; EASY*")
    assert "no system 'EASY*'" in refused("analyse", "item-groups", *given)
