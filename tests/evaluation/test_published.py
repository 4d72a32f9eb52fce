"""Figures of the public files that this package must find again."""

from datetime import date

import pytest
from tests.realdata import shared_data

from crossmarket.data.readers import read_data
from crossmarket.evaluation.evaluator import evaluate_market, summarise
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.run import restrict
from crossmarket.models.registry import build_model
from crossmarket.training.options import RunOptions


@pytest.fixture(scope="module")
def xmarket():
    return read_data(shared_data("xmarket"))


def means(data, protocol, name, config=None, targets=None):
    split = protocol.split(data, 0)
    parts, options = [], RunOptions(threads=1)
    for market in targets or split.train.markets:
        model = build_model(name, None, config, options)
        model.fit(split.train, target=market, valid=split.valid)
        parts.append(evaluate_market(model, protocol, split, market))
    return summarise(parts)


def test_ratio_full_popularity(xmarket):
    found = means(xmarket, Protocol(), "popularity")["macro"]
    assert found["ndcg@10"] == pytest.approx(0.185, abs=0.012)
    assert found["recall@10"] == pytest.approx(0.228, abs=0.015)


def test_ratio_full_ease_on_the_target_alone(xmarket):
    config = {"markets": "target", "reg": 20.0}
    found = means(xmarket, Protocol(), "ease", config, ("de", "uk"))["markets"]
    for market, ndcg, recall in [("de", 0.410, 0.440), ("uk", 0.393, 0.430)]:
        assert found[market]["ndcg@10"] == pytest.approx(ndcg, abs=0.012)
        assert found[market]["recall@10"] == pytest.approx(recall, abs=0.012)


def test_time_full_dates_and_users(xmarket):
    protocol = Protocol(name="time-full")
    split = protocol.split(xmarket, 0)
    for key, published in [
        ("valid_from_date", date(2019, 1, 19)),
        ("test_from_date", date(2019, 9, 28)),
    ]:
        assert abs(date.fromisoformat(split.details[key]) - published).days <= 3
    published = {"de": 417, "jp": 112, "in": 39, "fr": 441, "ca": 1389, "mx": 354, "uk": 620}
    for market, users in published.items():
        # Of duplicates the earliest time is kept here, which moves a few users.
        assert abs(len(protocol.held_out(split, market)) - users) <= 3


@pytest.mark.parametrize(
    ("name", "config", "ndcg", "recall"),
    [
        ("popularity", {"markets": "target"}, 0.041, 0.056),
        ("popularity", {"markets": "all"}, 0.045, 0.064),
        ("decayed-popularity", {"half_life": 120.0}, 0.070, 0.091),
    ],
)
def test_time_full_popularity(xmarket, name, config, ndcg, recall):
    found = means(xmarket, Protocol(name="time-full"), name, config)["macro"]
    assert found["ndcg@10"] == pytest.approx(ndcg, abs=0.005)
    assert found["recall@10"] == pytest.approx(recall, abs=0.007)


def test_time_full_with_the_published_dates(xmarket):
    protocol = Protocol(name="time-full", cuts=("2019-01-19", "2019-09-28"))
    found = means(xmarket, protocol, "decayed-popularity")["macro"]
    assert found["ndcg@10"] == pytest.approx(0.070, abs=0.005)


# The same rows with duplicates kept gave the published figures; here a pair counts once.
@pytest.mark.parametrize(
    ("name", "config", "published"),
    [
        (
            "popularity",
            {},
            {"de": 0.2610, "jp": 0.2019, "in": 0.4429, "fr": 0.2437, "mx": 0.5241, "uk": 0.3476},
        ),
        (
            "ease",
            {"markets": "target", "reg": 30.0},
            {"de": 0.3245, "jp": 0.2493, "in": 0.4890, "fr": 0.3093, "mx": 0.5879, "uk": 0.3650},
        ),
    ],
)
def test_forec_controls(xmarket, name, config, published):
    found = means(xmarket, Protocol(name="forec"), name, config, tuple(published))["markets"]
    for market, ndcg in published.items():
        assert found[market]["ndcg@10"] == pytest.approx(ndcg, abs=0.035), market


@pytest.mark.parametrize(
    ("name", "config", "published"),
    [
        ("popularity", {}, {"s2": 0.253, "t1": 0.085, "s3": 0.267, "t2": 0.118}),
        ("ease", {"reg": 30.0}, {"s2": 0.641, "t1": 0.512, "s3": 0.565, "t2": 0.449}),
    ],
)
def test_m3rec_controls(name, config, published):
    # As in the figures: the fifth market, whose catalogue is twice the others' together, is out.
    data = restrict(read_data(shared_data("wsdm")), tuple(published))
    found = means(data, Protocol(name="m3rec"), name, config, tuple(published))["markets"]
    for market, ndcg in published.items():
        assert found[market]["ndcg@10"] == pytest.approx(ndcg, abs=0.03), market
