"""Splits: a partition, its sizes, its streams, and what each rule promises."""

from datetime import UTC, datetime

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from tests.realdata import shared_data
from tests.toys import DAY, PARTS, dataset_of, toy_rows

from crossmarket.data.changed_splits import launch_split
from crossmarket.data.dataset import NO_TIME
from crossmarket.data.readers import read_data
from crossmarket.data.splits import (
    given_split,
    leave_one_out_split,
    market_generator,
    merge_edges,
    ratio_split,
    time_split,
)
from crossmarket.errors import DataError, UsageError

KEYS = ["market", "user_id", "item_id"]


@pytest.fixture(scope="module")
def data():
    return dataset_of([row[:5] for row in toy_rows()])


def parts_of(split):
    return {name: getattr(split, name) for name in PARTS}


def rows_of(part, market=None):
    frame = part.to_frame()
    return frame if market is None else frame.filter(pl.col("market") == market)


def assert_partition(split, data):
    """Every interaction is in exactly one part, with its weight and time, in canonical order."""
    together = pl.concat([rows_of(part) for part in parts_of(split).values()])
    assert together.sort(KEYS).equals(data.to_frame().sort(KEYS))
    for part in parts_of(split).values():
        assert part.items == data.items
        for market in data.markets:
            edges = part.edges(market)
            pairs = edges.users.astype(np.int64) * len(data.items) + edges.items
            assert (np.diff(pairs) > 0).all()
            np.testing.assert_array_equal(part.catalogue(market), data.catalogue(market))
            assert part.users(market) == data.users(market)


@st.composite
def market_rows(draw):
    """Interactions of one or two markets with times, several of them equal."""
    rows = []
    for market in draw(st.sampled_from([["uk"], ["de", "uk"]])):
        pair = st.tuples(st.integers(0, 5), st.integers(0, 9))
        pairs = draw(st.lists(pair, min_size=4, max_size=30, unique=True))
        for user, item in pairs:
            rows.append((market, f"u{user}", f"i{item}", 1.0, draw(st.integers(0, 6)) * DAY))
    return rows


# -- ratio ------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(market_rows(), st.integers(0, 99), st.sampled_from([(0.1, 0.1), (0.0, 0.3), (0.25, 0.0)]))
def test_a_ratio_split_is_a_partition_of_the_right_sizes(rows, seed, shares):
    data = dataset_of(rows)
    valid, test = shares
    split = ratio_split(data, seed=seed, valid=valid, test=test)
    assert_partition(split, data)
    for market, counts in split.counts().items():
        total = len(data.edges(market))
        # 1 - 0.1 - 0.1 is a little below 0.8 in binary; the share must not lose a row by it.
        train = max(int(round(1 - valid - test, 9) * total), 1)
        held_out = min(int(valid * total), total - train)
        assert counts == {"train": train, "valid": held_out, "test": total - train - held_out}


def test_a_share_that_binary_numbers_miss_by_a_hair_loses_no_row():
    data = dataset_of([("uk", "ann", f"i{n}") for n in range(5)])
    assert int((1 - 0.3 - 0.3) * 5) == 1
    split = ratio_split(data, valid=0.3, test=0.3)
    assert split.counts() == {"uk": {"train": 2, "valid": 1, "test": 2}}


def test_seeds_decide_the_ratio_split(data):
    first, again, other = (ratio_split(data, seed=seed) for seed in (1, 1, 2))
    assert first.train.fingerprint == again.train.fingerprint
    assert first.train.fingerprint != other.train.fingerprint
    assert (first.name, first.seed, first.details) == ("ratio", 1, {"valid": 0.1, "test": 0.1})


@pytest.mark.parametrize("rule", [ratio_split, leave_one_out_split])
def test_a_markets_draw_does_not_change_when_others_come_or_go(data, rule):
    whole = rule(data, seed=4)
    for names in (["bb"], ["bb", "cc"]):
        alone = rule(data.select_markets(names), seed=4)
        for name, part in parts_of(alone).items():
            assert rows_of(part, "bb").equals(rows_of(getattr(whole, name), "bb"))


def test_markets_of_the_same_shape_are_drawn_apart():
    rows = [(m, f"u{n}", f"i{k}") for m in ("de", "uk") for n in range(6) for k in range(6)]
    split = ratio_split(dataset_of(rows))
    held_out = [split.test.edges(market) for market in ("de", "uk")]
    pairs = [list(zip(edges.users, edges.items, strict=True)) for edges in held_out]
    assert pairs[0] != pairs[1]


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0.2), (0.1, -0.1), (0.0, 1.0)])
def test_shares_that_leave_nothing_to_train_on_are_refused(data, valid, test):
    with pytest.raises(UsageError, match="leave nothing to train on"):
        ratio_split(data, valid=valid, test=test)


def test_every_share_is_as_likely_for_every_interaction(data):
    counts = np.zeros(len(data.edges("aa")))
    whole = rows_of(data, "aa").select("user_id", "item_id").with_row_index()
    for seed in range(200):
        test = rows_of(ratio_split(data, seed=seed).test, "aa")
        rows = whole.join(test, on=["user_id", "item_id"])["index"].to_numpy()
        counts[rows] += 1
    share = len(rows) / len(counts)
    assert np.abs(counts / 200 - share).max() < 5 * np.sqrt(share * (1 - share) / 200)


def test_the_published_markets_are_cut_80_10_10():
    data = read_data(shared_data("xmarket")).dataset
    split = ratio_split(data)
    counts = split.counts()
    assert sum(market["train"] for market in counts.values()) == 105_459
    for market, sizes in counts.items():
        total = len(data.edges(market))
        assert sum(sizes.values()) == total
        assert sizes["train"] == int(0.8 * total)
        assert sizes["valid"] == int(0.1 * total)


# -- leave one out ----------------------------------------------------------------------------


@settings(max_examples=40)
@given(market_rows(), st.integers(0, 99), st.sampled_from(["time", "random"]), st.integers(2, 5))
def test_leave_one_out_holds_out_one_and_one_of_who_has_enough(rows, seed, order, least):
    data = dataset_of(rows)
    try:
        split = leave_one_out_split(data, seed=seed, order=order, min_interactions=least)
    except DataError as error:
        assert "without training interactions" in str(error)
        return
    assert_partition(split, data)
    for market in data.markets:
        whole = data.edges(market)
        edges = [part.edges(market) for part in parts_of(split).values()]
        for user in range(len(data.users(market))):
            own = whole.timestamps[whole.users == user]
            train, valid, test = (part.timestamps[part.users == user] for part in edges)
            held_out = int(len(own) >= least)
            assert [len(train), len(valid), len(test)] == [
                len(own) - 2 * held_out,
                held_out,
                held_out,
            ]
            if order == "time" and held_out:
                assert test[0] == own.max()
                assert valid[0] <= test[0]
                assert (train <= valid[0]).all()


def test_ties_in_time_are_broken_by_the_seed():
    data = dataset_of([("uk", "ann", f"i{n}", 1.0, DAY) for n in range(8)])
    tests = {leave_one_out_split(data, seed=s).test.edges("uk").items[0] for s in range(20)}
    assert len(tests) > 3


def test_leave_one_out_needs_a_known_order_and_times(data):
    with pytest.raises(UsageError, match="unknown leave-one-out order 'last'"):
        leave_one_out_split(data, order="last")
    untimed = dataset_of([("uk", "ann", f"i{n}") for n in range(4)])
    with pytest.raises(DataError, match="leave-one-out by time needs the time of every"):
        leave_one_out_split(untimed)
    assert len(leave_one_out_split(untimed, order="random").test.edges("uk")) == 1


# -- time -------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(market_rows(), st.sampled_from([(0.8, 0.9), (0.3, 0.5), (0.5, 0.5)]))
def test_a_time_split_cuts_all_markets_at_the_same_dates(rows, quantiles):
    data = dataset_of(rows)
    try:
        split = time_split(data, quantiles=quantiles)
    except DataError as error:
        assert "without training interactions" in str(error)
        return
    assert_partition(split, data)
    times = np.sort([row[4] for row in rows])
    lower, upper = (np.quantile(times, q, method="lower") for q in quantiles)
    for market in data.markets:
        train, valid, test = (part.edges(market).timestamps for part in parts_of(split).values())
        assert (train <= lower).all()  # a moment at the cut belongs to the earlier part
        assert ((valid > lower) & (valid <= upper)).all()
        assert (test > upper).all()


def test_named_dates_are_the_first_days_of_validation_and_test():
    def moment(*date):
        return int(datetime(*date, tzinfo=UTC).timestamp())

    rows = [
        ("uk", "ann", "last-of-train", 1.0, moment(2019, 9, 27, 23, 59, 59)),
        ("uk", "ann", "first-of-valid", 1.0, moment(2019, 9, 28)),
        ("uk", "ann", "last-of-valid", 1.0, moment(2019, 11, 30, 23, 59, 59)),
        ("uk", "ann", "first-of-test", 1.0, moment(2019, 12, 1)),
    ]
    split = time_split(dataset_of(rows), cuts=("2019-09-28", "2019-12-01"))
    names = {name: rows_of(part)["item_id"].to_list() for name, part in parts_of(split).items()}
    assert names == {
        "train": ["last-of-train"],
        "valid": ["first-of-valid", "last-of-valid"],
        "test": ["first-of-test"],
    }
    assert split.details == {
        "valid_from": moment(2019, 9, 28),
        "test_from": moment(2019, 12, 1),
        "valid_from_date": "2019-09-28",
        "test_from_date": "2019-12-01",
    }
    with_zone = time_split(
        dataset_of(rows), cuts=("2019-09-28T02:00:00+02:00", "2019-12-01T00:00:00")
    )
    assert with_zone.details == split.details


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"quantiles": (0.9, 0.8)}, "must rise"),
        ({"quantiles": (0.0, 0.5)}, "lie between 0 and 1"),
        ({"quantiles": (0.5, 1.0)}, "lie between 0 and 1"),
        ({"cuts": ("yesterday", "2020-01-01")}, "'yesterday' is not an ISO date"),
    ],
)
def test_wrong_cuts_are_refused(data, choice, message):
    with pytest.raises(UsageError, match=message):
        time_split(data, **choice)


def test_a_time_split_needs_times_and_training_in_every_market():
    with pytest.raises(DataError, match="market 'uk' lacks some"):
        time_split(dataset_of([("uk", "ann", "a", 1.0, 5), ("uk", "ann", "b")]))
    rows = [("de", "ann", f"i{n}", 1.0, n * DAY) for n in range(9)]
    rows += [("uk", "ann", "i1", 1.0, 99 * DAY)]
    with pytest.raises(DataError, match="time split leaves market 'uk' without training"):
        time_split(dataset_of(rows))


# -- launch -----------------------------------------------------------------------------------


def test_smaller_launches_are_subsets_of_larger_ones(data):
    split = ratio_split(data, seed=6)
    whole = len(split.train.edges("bb"))
    larger = rows_of(split.train, "bb")
    for fraction in (1.0, 0.6, 0.25, 0.1, 1e-9):
        launched = launch_split(split, "bb", fraction)
        kept = rows_of(launched.train, "bb")
        assert kept.height == max(1, round(fraction * whole))
        assert kept.join(larger, on=KEYS, how="anti").is_empty()
        larger = kept
        for market in ("aa", "cc"):
            assert rows_of(launched.train, market).equals(rows_of(split.train, market))
        assert launched.valid is split.valid
        assert launched.test is split.test
        assert launched.name == "ratio-launch"
        assert launched.details["launch"] == {"target": "bb", "fraction": fraction}
        assert launched.details["valid"] == 0.1
    assert launch_split(split, "bb", 1.0).train.fingerprint == split.train.fingerprint


@pytest.mark.parametrize("fraction", [0, -0.1, 1.1])
def test_a_launch_keeps_a_share(data, fraction):
    with pytest.raises(UsageError, match=r"must lie in \(0, 1\]"):
        launch_split(ratio_split(data), "bb", fraction)


def test_a_launch_needs_a_known_market(data):
    with pytest.raises(UsageError, match="no market 'xx'"):
        launch_split(ratio_split(data), "xx", 0.5)


# -- given ------------------------------------------------------------------------------------


def test_the_users_of_a_lone_validation_part_are_halved(data):
    made = ratio_split(data, valid=0.0, test=0.3)
    parts = {"train": made.train, "valid": made.test}
    split = given_split(parts, seed=3)
    assert split.details == {"halved": True}
    assert_partition(split, data)
    for market in data.markets:
        users = [set(part.edges(market).users.tolist()) for part in (split.valid, split.test)]
        assert not users[0] & users[1]
        assert len(users[0]) == (len(users[0]) + len(users[1])) // 2
    again = given_split(parts, seed=3)
    assert again.test.fingerprint == split.test.fingerprint
    other = given_split(parts, seed=4)
    assert other.test.fingerprint != split.test.fingerprint


def test_parts_that_are_all_given_are_taken_as_they_are(data):
    made = ratio_split(data)
    split = given_split(parts_of(made), seed=8)
    assert (split.train, split.valid, split.test) == (made.train, made.valid, made.test)
    assert (split.name, split.seed, split.details) == ("given", 8, {"halved": False})


@pytest.mark.parametrize("missing", ["train", "valid"])
def test_parts_to_learn_and_choose_on_must_be_given(data, missing):
    parts = parts_of(ratio_split(data))
    del parts[missing]
    with pytest.raises(DataError, match="bring no train and valid parts"):
        given_split(parts)


# -- refit and helpers ------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [ratio_split, leave_one_out_split, time_split])
def test_refit_moves_validation_into_training(data, rule):
    split = rule(data)
    merged = split.refit()
    assert_partition(merged, data)
    assert merged.valid.num_interactions == 0
    assert merged.test is split.test
    expected = pl.concat([rows_of(split.train), rows_of(split.valid)]).sort(KEYS)
    assert rows_of(merged.train).sort(KEYS).equals(expected)
    assert merged.details["refit"] is True
    assert "valid_from" not in merged.details
    assert "refit" not in split.details
    assert ("test_from" in merged.details) == (rule is time_split)


def test_counts_are_those_of_the_parts(data):
    split = ratio_split(data)
    for market, counts in split.counts().items():
        assert counts == {n: len(part.edges(market)) for n, part in parts_of(split).items()}


def test_merging_keeps_weights_and_times_in_canonical_order(data):
    edges = data.edges("aa")
    odd = np.arange(len(edges)) % 2 == 1
    merged = merge_edges(edges.select(odd), edges.select(~odd))
    for name in ("users", "items", "weights", "timestamps"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(edges, name))
        assert getattr(merged, name).dtype == getattr(edges, name).dtype


def test_every_market_and_seed_has_its_own_stream():
    draws = {
        (seed, market): market_generator(seed, market).random()
        for seed in (0, 1)
        for market in ("de", "uk")
    }
    assert len(set(draws.values())) == 4
    assert market_generator(1, "uk").random() == draws[1, "uk"]


def test_unknown_times_are_not_zero():
    edges = dataset_of([("uk", "ann", "a")]).edges("uk")
    assert edges.timestamps.tolist() == [NO_TIME]
