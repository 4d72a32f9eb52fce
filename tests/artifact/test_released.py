"""Artifacts of every format that was released are read for ever, with the answers of their day.

`released/FORMAT` is DCMPT over the small markets of the tests, packaged when the format was new.
Whoever raises the format adds a folder; none is ever made again.
"""

from pathlib import Path

import pytest

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.manifest import VERSION

RELEASED = sorted((Path(__file__).parent / "released").iterdir(), key=lambda path: int(path.name))


def test_every_format_up_to_this_one_is_kept():
    assert [int(path.name) for path in RELEASED] == list(range(1, VERSION + 1))


@pytest.mark.parametrize("folder", RELEASED, ids=lambda path: path.name)
def test_a_released_artifact_gives_the_answers_of_its_day(folder):
    artifact = Artifact.from_pretrained(folder)  # which replays what it recorded
    assert artifact.manifest.version == int(folder.name)
    assert list(artifact.markets) == ["de", "mx", "uk"]
    market = artifact.market("uk")
    known = market.recommend(market.users.ids[0], k=3, explain=True)
    assert known.strategy == "prompted"
    assert all(row.why.backbone + row.why.prompt == pytest.approx(row.score) for row in known.items)
    assert market.recommend(history=market.item_ids[:2]).strategy == "fold-in"
    assert market.recommend("nobody").strategy == "popular"
