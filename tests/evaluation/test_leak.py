"""Planted leaks are found, exactly those, and nothing else."""

from dataclasses import dataclass, field, replace

import hypothesis.strategies as st
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings

from crossmarket.data.dataset import NO_TIME, Edges, MarketDataset
from crossmarket.errors import DataError, LeakError, UsageError
from crossmarket.evaluation.leak import LEAK_SCHEMA, assert_no_leak, find_leaks, find_time_leaks

MARKETS = ("de", "uk")
NUM_USERS, NUM_ITEMS = 6, 9
PART_NAMES = ("train", "valid", "test")


@dataclass(frozen=True)
class Parts:
    train: MarketDataset
    valid: MarketDataset
    test: MarketDataset
    details: dict = field(default_factory=dict)


def whole():
    """Every user of both markets with every item; time = place of the pair."""
    rows = [
        {
            "market": market,
            "user_id": f"{market}-u{user}",
            "item_id": f"i{item}",
            "timestamp": user * NUM_ITEMS + item,
        }
        for market in MARKETS
        for user in range(NUM_USERS)
        for item in range(NUM_ITEMS)
    ]
    return MarketDataset.from_frame(pl.DataFrame(rows))


def split_by(labels, **details):
    """Edge n of a market goes to every part whose name is in `labels[market][n]`."""
    data = whole()
    parts = {
        name: data.replace_edges(
            {
                market: data.edges(market).select(
                    np.array([name in chosen for chosen in labels[market]])
                )
                for market in MARKETS
            }
        )
        for name in PART_NAMES
    }
    return Parts(**parts, details=details)


def clean(**details):
    """Train, valid and test follow each other in time."""
    labels = [("train",)] * 40 + [("valid",)] * 7 + [("test",)] * 7
    return split_by(dict.fromkeys(MARKETS, labels), **details)


memberships = st.lists(
    st.sets(st.sampled_from(PART_NAMES)),
    min_size=NUM_USERS * NUM_ITEMS,
    max_size=NUM_USERS * NUM_ITEMS,
)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys(MARKETS, memberships)))
def test_exactly_the_shared_triples_are_found(labels):
    expected = {
        (market, f"{market}-u{place // NUM_ITEMS}", f"i{place % NUM_ITEMS}", part_a, part_b)
        for market in MARKETS
        for place, chosen in enumerate(labels[market])
        for part_a, part_b in (("train", "valid"), ("train", "test"), ("valid", "test"))
        if {part_a, part_b} <= chosen
    }
    leaks = find_leaks(split_by(labels))
    assert leaks.schema == LEAK_SCHEMA
    assert len(leaks) == len(expected)
    assert set(leaks.iter_rows()) == expected


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(40, 53), max_size=14), st.sampled_from(MARKETS))
def test_planted_pairs_are_found_exactly(planted, market):
    labels = {name: [("train",)] * 40 + [("valid",)] * 7 + [("test",)] * 7 for name in MARKETS}
    for place in planted:
        labels[market][place] = (*labels[market][place], "train")
    split = split_by(labels)
    leaks = find_leaks(split)
    assert len(leaks) == len(planted)
    found = {int(user[-1]) * NUM_ITEMS + int(item[1:]) for _, user, item, _, _ in leaks.rows()}
    assert found == planted
    if planted:
        with pytest.raises(LeakError, match=rf"leaks {len(planted)} interaction"):
            assert_no_leak(split)
    else:
        assert_no_leak(split)


def test_a_clean_split_passes_with_its_dates():
    split = clean(valid_from=40, test_from=47)
    assert find_leaks(split).is_empty()
    assert find_leaks(split).schema == LEAK_SCHEMA
    assert_no_leak(split)


def test_dates_are_kept_to_the_second():
    split = clean()
    assert find_time_leaks(split, 40, 47).is_empty()
    late_train = find_time_leaks(split, 39, 47)
    assert late_train.rows() == [
        (market, f"{market}-u4", "i3", "train", "time") for market in MARKETS
    ]
    early_valid = find_time_leaks(split, 41, 47)
    assert early_valid["part_a"].to_list() == ["valid", "valid"]
    late_valid = find_time_leaks(split, 40, 46)
    assert late_valid.rows() == [
        (market, f"{market}-u5", "i1", "valid", "time") for market in MARKETS
    ]
    early_test = find_time_leaks(split, 40, 48)
    assert early_test.rows() == [
        (market, f"{market}-u5", "i2", "test", "time") for market in MARKETS
    ]


def test_dates_in_the_details_are_checked():
    leaks = find_leaks(clean(valid_from=39, test_from=47))
    assert len(leaks) == 2
    assert set(leaks["part_b"]) == {"time"}
    with pytest.raises(LeakError, match="is in train on the wrong side of the split's dates"):
        assert_no_leak(clean(valid_from=39, test_from=47))


def test_after_merging_validation_only_the_test_date_counts():
    labels = [("train",)] * 47 + [("test",)] * 7
    split = split_by(dict.fromkeys(MARKETS, labels), test_from=47)
    assert_no_leak(split)
    assert find_leaks(clean(test_from=47)).is_empty()
    late = replace(split, details={"test_from": 46})
    assert set(find_leaks(late)["part_a"]) == {"train"}


def test_dates_without_times_prove_nothing():
    split = clean()
    edges = split.train.edges("de")
    untimed = Edges(edges.users, edges.items, edges.weights, np.full(len(edges), NO_TIME))
    broken = replace(split, train=split.train.replace_edges({"de": untimed}))
    assert find_leaks(broken).is_empty()
    with pytest.raises(DataError, match="train part of market 'de' has interactions without"):
        find_time_leaks(broken, 40, 47)


def test_the_message_names_the_first_leak_and_the_way_out():
    labels = {market: [("train",)] * 54 for market in MARKETS}
    labels["uk"][10] = ("train", "test")
    with pytest.raises(LeakError) as caught:
        assert_no_leak(split_by(labels))
    assert str(caught.value) == (
        "the split leaks 1 interaction(s), e.g. item 'i1' of user 'uk-u1' in market 'uk' is in "
        "both train and test; split the data again, or remove these rows from train"
    )


def test_a_part_may_hold_fewer_markets():
    labels = {market: [("train", "test")] * 2 + [("train",)] * 52 for market in MARKETS}
    split = split_by(labels)
    only_uk = replace(split, test=split.test.select_markets(["uk"]))
    assert find_leaks(only_uk)["market"].to_list() == ["uk", "uk"]


@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_parts_over_other_vocabularies_are_refused(column):
    split = clean()
    renamed = split.test.to_frame().with_columns(pl.col(column) + "x")
    with pytest.raises(UsageError, match="train and test number their users or items differently"):
        find_leaks(replace(split, test=MarketDataset.from_frame(renamed)))


def test_any_object_with_the_three_parts_will_do():
    class Bare:
        pass

    bare = Bare()
    for name in PART_NAMES:
        setattr(bare, name, getattr(clean(), name))
    assert find_leaks(bare).is_empty()
