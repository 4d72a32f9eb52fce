"""The overview is what brute force finds in the artifact."""

from math import sqrt

import numpy as np
import pytest
from tests.artifact.making import write_by_hand
from tests.serving.calling import READ, call
from tests.serving.exploring import ITEMS, METRICS, source_of, write, write_usual

from crossmarket.artifact.artifact import Artifact
from crossmarket.serving.explorer import KEYLESS
from crossmarket.serving.keys import Key
from crossmarket.serving.overview import Overviews, bank_map, overview, prompt_map, quality
from crossmarket.serving.service import Service
from crossmarket.serving.settings import Settings
from crossmarket.serving.snapshot import Snapshot


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_usual(tmp_path_factory.mktemp("overview") / "artifact")


@pytest.fixture(scope="module")
def markets(folder):
    return Artifact.from_pretrained(folder).markets


@pytest.fixture(scope="module")
def found(markets):
    return overview(Snapshot(markets, {"fr": "spoilt"}))


def counts(market):
    taken = [market.item_ids[item] for user in range(len(market.users))
             for item in market.seen_by(user)]  # fmt: skip
    return {item: taken.count(item) for item in market.item_ids}


def test_markets_are_told_with_their_versions(found, markets):
    assert [one["market"] for one in found["markets"]] == ["de", "mx", "uk"]
    for one in found["markets"]:
        market = markets[one["market"]]
        assert one["versions"] == [one["version"]] == [market.version]
        assert (one["users"], one["items"]) == (len(market.users), len(market.item_ids))
    assert found["unavailable"] == ["fr"]


def test_pairs_are_compared_as_by_hand(found, markets):
    for row, one in enumerate(markets.values()):
        for column, other in enumerate(markets.values()):
            own, its = counts(one), counts(other)
            both = own.keys() & its.keys()
            assert found["overlap"][row][column] == len(both)
            jaccard = len(both) / len(own.keys() | its.keys())
            assert found["jaccard"][row][column] == pytest.approx(jaccard, abs=1e-6)
            lengths = [sqrt(sum(count**2 for count in taken.values())) for taken in (own, its)]
            cosine = sum(own[item] * its[item] for item in both) / (lengths[0] * lengths[1])
            assert found["cosine"][row][column] == pytest.approx(cosine, abs=1e-6)


def test_quality_and_gain_are_told_where_they_were_measured(found):
    measured = {one["market"]: one["quality"] for one in found["markets"]}
    assert measured["mx"] is None
    metrics = {"ndcg@10": 0.25, "hit@10": 0.5, "users": 6}
    assert measured["de"] == {"protocol": "ratio-full", "seed": 3, "metrics": metrics, "gain": None}
    assert measured["uk"]["gain"] == pytest.approx({"ndcg@10": 0.05, "hit@10": -0.25})


@pytest.mark.parametrize(
    "metrics",
    [{}, {"protocol": 1}, {**METRICS, "metrics": []}, {**METRICS, "metrics": {"ndcg@10": "high"}}],
)
def test_metrics_of_another_shape_are_none(tmp_path, metrics):
    write(tmp_path / "artifact", ITEMS, [source_of("de", ITEMS, metrics=metrics)])
    market = Artifact.from_pretrained(tmp_path / "artifact").market("de")
    assert market.metrics == metrics
    assert quality(market) is None


def test_maps_keep_what_two_directions_can(found, markets):
    prompts = {name: one.form.prompts.basis.astype(float) for name, one in markets.items()}
    together = np.concatenate(list(prompts.values()))
    middle = together.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(together.T))
    shares = (variances / variances.sum())[::-1]
    assert found["prompts"]["explained"] == pytest.approx(shares[:2])
    for name, basis in prompts.items():
        expected = np.abs((basis - middle) @ directions[:, [-1, -2]])
        assert np.abs(found["prompts"]["points"][name]) == pytest.approx(expected, abs=1e-5)
    banks = np.stack([basis.ravel() for basis in prompts.values()])
    points = np.concatenate([found["banks"]["points"][name] for name in prompts])
    # Three points lie in a plane: the map of their banks keeps all distances.
    for one in range(3):
        for other in range(3):
            apart = np.linalg.norm(banks[one] - banks[other])
            assert np.linalg.norm(points[one] - points[other]) == pytest.approx(apart, abs=1e-5)
    assert sum(found["banks"]["explained"]) == pytest.approx(1)


def test_there_is_no_map_without_prompts(tmp_path, markets):
    write_by_hand(tmp_path / "artifact", ["a", "b"], ["u"], [[0]])
    plain = Artifact.from_pretrained(tmp_path / "artifact").market("xx")
    assert prompt_map([plain]) is None
    assert bank_map([markets["de"], plain]) is None
    assert prompt_map([markets["de"], plain])["points"].keys() == {"de"}


def test_nothing_to_serve_is_an_overview_too():
    empty = overview(Snapshot())
    assert empty["markets"] == empty["overlap"] == empty["jaccard"] == []
    assert empty["prompts"] is None


def test_it_is_computed_once_for_each_snapshot(markets):
    overviews, first = Overviews(), Snapshot(markets)
    one = overviews.of(first)
    assert overviews.of(first) is one
    second = first.replace("uk", None, ())
    assert [market["market"] for market in overviews.of(second)["markets"]] == ["de", "mx"]
    assert overviews.of(first) == one


def test_it_is_asked_for_with_a_key(folder, found):
    service = Service(Settings(folder, read_key=Key(READ)))
    told = call(service.public, "GET", "/v1/overview")
    assert told.json() == {**found, "unavailable": []}
    assert call(service.public, "GET", "/v1/overview", key=None).status_code == 401
    assert not KEYLESS & {"/v1/overview", "/openapi.json", "/metrics"}
    service.close()
