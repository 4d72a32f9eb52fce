"""Shorter histories: how much each user keeps, and what stays as it was."""

from collections import Counter

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.toys import TARGET, dataset_of, toy_rows

from crossmarket.data.changed_splits import thin_users
from crossmarket.data.splits import leave_one_out_split, ratio_split
from crossmarket.errors import UsageError

SHARES = (1.0, 0.7, 1 / 2, 1 / 3, 1 / 5, 1 / 10, 1e-9)


@pytest.fixture(scope="module")
def data():
    return dataset_of([row[:5] for row in toy_rows()])


def pairs_of(part, market):
    edges = part.edges(market)
    return set(zip(edges.users.tolist(), edges.items.tolist(), strict=True))


@pytest.mark.parametrize("rule", [ratio_split, leave_one_out_split])
def test_every_user_keeps_a_share_and_the_kept_sets_are_nested(data, rule):
    split = rule(data, seed=4)
    before = pairs_of(split.train, TARGET)
    counts = Counter(user for user, _ in before)
    for share in SHARES:
        thinned = thin_users(split, TARGET, share)
        kept = pairs_of(thinned.train, TARGET)
        assert kept <= before
        assert Counter(user for user, _ in kept) == {
            user: max(1, round(share * count)) for user, count in counts.items()
        }
        assert thinned.details["thinned"] == {"target": TARGET, "share": share}
        assert thinned.name == f"{split.name}-thinned"
        assert (thinned.valid, thinned.test) == (split.valid, split.test)
        for market in ("aa", "cc"):
            assert thinned.train.edges(market) is split.train.edges(market)
        assert (thinned.train.catalogue(TARGET) == split.train.catalogue(TARGET)).all()
        before = kept
    assert thin_users(split, TARGET, 1.0).train.fingerprint == split.train.fingerprint


@given(st.integers(0, 50))
def test_the_seed_alone_decides_what_is_kept(seed):
    data = dataset_of([row[:5] for row in toy_rows()])
    split = ratio_split(data, seed=seed)
    kept = thin_users(split, TARGET, 0.5).train.fingerprint
    alone = ratio_split(data.select_markets([TARGET]), seed=seed)
    assert thin_users(split, TARGET, 0.5).train.fingerprint == kept
    assert pairs_of(thin_users(alone, TARGET, 0.5).train, TARGET) == pairs_of(
        thin_users(split, TARGET, 0.5).train, TARGET
    )
    assert thin_users(ratio_split(data, seed=seed + 1), TARGET, 0.5).train.fingerprint != kept


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_lies_between_0_and_1(data, share):
    with pytest.raises(UsageError, match=r"must lie in \(0, 1\]"):
        thin_users(ratio_split(data), TARGET, share)


def test_the_market_must_exist(data):
    with pytest.raises(UsageError, match="no market 'xx'"):
        thin_users(ratio_split(data), "xx", 0.5)
