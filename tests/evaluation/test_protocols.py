from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.small import markets, plant, result_of, with_parts

from crossmarket.data.dataset import MarketDataset
from crossmarket.data.simulate import SimulationConfig, simulate
from crossmarket.data.splits import time_split
from crossmarket.data.vocabulary import Vocabulary
from crossmarket.errors import DataError, LeakError, UsageError
from crossmarket.evaluation.leak import find_leaks
from crossmarket.evaluation.protocols import KINDS, Protocol, sample_negatives, with_validation

NAMES = (
    "ratio-full",
    "time-full",
    "loo-99",
    "loo-999",
    "forec",
    "acmr-market",
    "acmr-union",
    "launch@0.5",
    "given-full",
    "m3rec",
)


@pytest.fixture(scope="module")
def data():
    return with_parts(Protocol().split(result_of(markets()), 3))


def pairs(part, market):
    edges = part.edges(market)
    return set(zip(edges.users.tolist(), edges.items.tolist(), strict=True))


def ranked(held_out, row):
    """Items that the user in a row of `held_out` is ranked among."""
    scores = np.zeros((1, len(held_out.candidates)), dtype=np.float32)
    kept = np.isfinite(held_out.mask(scores, slice(row, row + 1))[0])
    return held_out.candidates[kept].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_each_protocol_splits_without_leak_or_loss(data, name):
    split = Protocol(name=name).split(data, 0)
    assert find_leaks(split).is_empty()
    for market in data.dataset.markets:
        parts = [pairs(part, market) for part in (split.train, split.valid, split.test)]
        assert set.union(*parts) == pairs(data.dataset, market)
        assert sum(map(len, parts)) == len(data.dataset.edges(market))


@pytest.mark.parametrize("name", NAMES)
def test_equal_seeds_give_equal_candidates(data, name):
    protocol = Protocol(name=name)
    first, second = (protocol.split(data, 7) for _ in range(2))
    assert protocol.candidates_hash(first) == protocol.candidates_hash(second)


@pytest.mark.parametrize("name", ["ratio-full", "launch@0.5"])
def test_another_seed_is_another_draw(data, name):
    protocol = Protocol(name=name)
    hashes = {protocol.candidates_hash(protocol.split(data, seed)) for seed in range(4)}
    assert len(hashes) == 4


def test_options_are_part_of_the_hash(data):
    split = Protocol().split(data, 0)
    assert Protocol().candidates_hash(split) != Protocol(refit=True).candidates_hash(split)


@pytest.mark.parametrize("market", ["de", "mx", "uk"])
def test_ratio_full_ranks_the_whole_catalogue_for_every_test_user(data, market):
    split = Protocol().split(data, 1)
    held_out = Protocol().held_out(split, market)
    assert held_out.users.tolist() == sorted({user for user, _ in pairs(split.test, market)})
    known = pairs(split.train, market) | pairs(split.valid, market)
    for row, user in enumerate(held_out.users):
        seen = {item for who, item in known if who == user}
        expected = [item for item in data.dataset.catalogue(market).tolist() if item not in seen]
        assert ranked(held_out, row) == expected


def test_ratio_full_cuts_each_market_80_10_10(data):
    split = Protocol().split(data, 0)
    for counts in split.counts().values():
        total = sum(counts.values())
        assert counts == {
            "train": int(0.8 * total),
            "valid": int(0.1 * total),
            "test": total - int(0.8 * total) - int(0.1 * total),
        }


def test_time_full_counts_users_with_training_only(data):
    protocol = Protocol(name="time-full", cuts=("2022-06-01", "2022-10-01"))
    split = protocol.split(data, 0)
    newcomers = 0
    for market in data.dataset.markets:
        trained = {user for user, _ in pairs(split.train, market)}
        tested = {user for user, _ in pairs(split.test, market)}
        newcomers += len(tested - trained)
        assert protocol.held_out(split, market).users.tolist() == sorted(tested & trained)
        assert len(Protocol().held_out(split, market)) == len(tested)
    assert newcomers > 0


def test_time_full_has_one_pair_of_dates_for_all_markets(data):
    split = Protocol(name="time-full").split(data, 0)
    valid_from, test_from = split.details["valid_from"], split.details["test_from"]
    for market in data.dataset.markets:
        assert split.train.edges(market).timestamps.max() < valid_from
        assert split.test.edges(market).timestamps.min() >= test_from
        middle = split.valid.edges(market).timestamps
        assert np.all((middle >= valid_from) & (middle < test_from))


def test_cuts_replace_the_quantiles(data):
    protocol = Protocol(name="time-full", cuts=("2023-03-01", "2023-08-01"))
    split = protocol.split(data, 0)
    assert split.details["valid_from_date"] == "2023-03-01"
    assert split.details["test_from_date"] == "2023-08-01"
    assert split.counts() == time_split(data.dataset, cuts=protocol.cuts).counts()
    assert protocol.label == "time-full, cuts=2023-03-01..2023-08-01"
    assert protocol.fit_label == "time-full-2023-03-01-2023-08-01"


def test_cuts_belong_to_time_full(data):
    with pytest.raises(UsageError, match="cut dates belong to time-full, not to ratio-full"):
        Protocol(cuts=("2023-03-01", "2023-08-01")).split(data, 0)


def test_cuts_must_be_dates_that_rise(data):
    with pytest.raises(UsageError, match="after test at 2023-03-01; swap them"):
        Protocol(name="time-full", cuts=("2023-08-01", "2023-03-01")).split(data, 0)
    with pytest.raises(UsageError, match="'soon' is not an ISO date"):
        Protocol(name="time-full", cuts=("2023-08-01", "soon")).split(data, 0)
    with pytest.raises(DataError, match="without training interactions"):
        Protocol(name="time-full", cuts=("2001-01-01", "2002-01-01")).split(data, 0)


@pytest.mark.parametrize(
    ("name", "count"), [("loo-99", 99), ("loo-999", 999), ("forec", 99), ("acmr-market", 99)]
)
def test_leave_one_out_ranks_unseen_items_of_the_market(name, count):
    sizes = [{"name": "aa", "users": 6, "interactions_per_user": 8}]
    config = SimulationConfig(num_items=1400, shared_items=1.0, markets=sizes)
    dataset = _sold_everywhere(simulate(config).dataset)
    protocol = Protocol(name=name)
    split = protocol.split(result_of(dataset), 0)
    held_out = protocol.held_out(split, "aa")
    tested = dict(sorted(pairs(split.test, "aa")))
    assert held_out.users.tolist() == list(tested)
    for row, user in enumerate(held_out.users):
        drawn = set(ranked(held_out, row)) - {tested[user]}
        assert len(drawn) == count
        assert not drawn & {item for who, item in pairs(dataset, "aa") if who == user}
        assert drawn <= set(dataset.catalogue("aa").tolist())
    # The draw is part of what the hash stands for.
    again, other = (protocol.split(result_of(dataset), seed) for seed in (0, 1))
    assert protocol.candidates_hash(again) == protocol.candidates_hash(split)
    assert protocol.candidates_hash(other) != protocol.candidates_hash(split)


def _sold_everywhere(dataset):
    """The market sells 1400 items, bought or not, out of a vocabulary of 1500."""
    bought = dataset.items.ids.to_list()
    more = [f"unsold-{number}" for number in range(1500 - len(bought))]
    items = Vocabulary([*bought, *more])
    users = {market: dataset.users(market) for market in dataset.markets}
    edges = {market: dataset.edges(market) for market in dataset.markets}
    catalogue = np.arange(1400, dtype=np.int32)
    rows = items.rows(bought)
    moved = {
        market: type(part)(part.users, rows[part.items], part.weights, part.timestamps)
        for market, part in edges.items()
    }
    assert all(part.items.max() < 1400 for part in moved.values())
    return MarketDataset(items, users, moved, dict.fromkeys(dataset.markets, catalogue))


def test_negatives_are_all_there_are_in_a_small_market(data):
    protocol = Protocol(name="loo-99")
    split = protocol.split(data, 0)
    drawn = sample_negatives(split, "mx", 99)
    catalogue = set(data.dataset.catalogue("mx").tolist())
    for user in np.unique(split.test.edges("mx").users):
        mine = {item for who, item in pairs(data.dataset, "mx") if who == user}
        assert set(drawn[[user]].indices.tolist()) == catalogue - mine


def test_a_union_pool_holds_items_of_every_market_but_none_of_the_users(data):
    protocol = Protocol(name="acmr-union")
    split = protocol.split(data, 0)
    sold = set(data.dataset.catalogue("mx").tolist())
    held_out = protocol.held_out(split, "mx")
    elsewhere = 0
    for row, user in enumerate(held_out.users):
        mine = {item for who, item in pairs(data.dataset, "mx") if who == user}
        (tested,) = {item for who, item in pairs(split.test, "mx") if who == user}
        drawn = set(ranked(held_out, row)) - {tested}
        assert len(drawn) == min(99, len(held_out.candidates) - len(mine))
        assert not drawn & mine
        elsewhere += len(drawn - sold)
    assert elsewhere > 0
    market = Protocol(name="acmr-market").split(data, 0)
    assert market.counts() == split.counts()
    assert find_leaks(market).is_empty()


def test_m3rec_ranks_the_given_parts_among_999_items_of_the_market(data):
    protocol = Protocol(name="m3rec")
    split = protocol.split(data, 0)
    assert split.counts() == Protocol(name="given-full").split(data, 0).counts()
    for market in data.dataset.markets:
        held_out = protocol.held_out(split, market)
        assert np.array_equal(held_out.candidates, data.dataset.catalogue(market))
        known = {item for who, item in pairs(data.dataset, market) if who == held_out.users[0]}
        tested = {item for who, item in pairs(split.test, market) if who == held_out.users[0]}
        assert set(ranked(held_out, 0)) & known == tested


def test_negatives_do_not_depend_on_other_markets(data):
    split = Protocol(name="loo-99").split(data, 0)
    alone = Protocol(name="loo-99").split(result_of(data.dataset.select_markets(["mx"])), 0)
    assert (sample_negatives(split, "mx", 5) != sample_negatives(alone, "mx", 5)).nnz == 0


@given(st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_launch_thins_the_target_only_and_nested(first, second):
    low, high = sorted((round(first, 3), round(second, 3)))
    data = result_of(markets())
    kept = []
    for fraction in (low, high):
        protocol = Protocol(name=f"launch@{fraction}")
        whole = protocol.split(data, 0)
        thin = protocol.for_target(whole, "mx")
        for market in ("de", "uk"):
            assert pairs(thin.train, market) == pairs(whole.train, market)
        assert pairs(thin.test, "mx") == pairs(whole.test, "mx")
        everything = pairs(whole.train, "mx")
        kept.append(pairs(thin.train, "mx"))
        assert kept[-1] <= everything
        assert len(kept[-1]) == max(1, round(fraction * len(everything)))
    assert kept[0] <= kept[1]


@pytest.mark.parametrize("name", ["launch@0", "launch@1.01", "launch@2", "launch@0.0"])
def test_launch_fractions_lie_above_0_and_up_to_1(data, name):
    with pytest.raises(UsageError, match=r"the fraction must lie in \(0, 1\]"):
        Protocol(name=name).split(data, 0)


def test_other_protocols_leave_the_target_whole(data):
    split = Protocol().split(data, 0)
    assert Protocol().for_target(split, "mx") is split


@pytest.mark.parametrize("name", ["ratio", "launch@", "launch@x", "launch@-1", "loo-9", "", "../x"])
def test_an_unknown_protocol_is_refused_with_the_known_ones(data, name):
    with pytest.raises(UsageError, match="unknown protocol") as caught:
        Protocol(name=name).split(data, 0)
    assert all(known in str(caught.value) for known in KINDS)
    with pytest.raises(UsageError, match="unknown protocol"):
        Protocol(name=name).require_known()


def test_labels_name_every_option_that_is_not_the_default():
    assert Protocol().label == "ratio-full"
    assert Protocol(refit=True).label == "ratio-full, refit"
    chosen = Protocol(name="launch@0.1", refit=True, history="train+valid")
    assert chosen.label == "launch@0.1, refit, history=train+valid"
    assert chosen.fit_label == "launch-0.1-refit"
    # What is scored from does not shape what is learned.
    assert Protocol(history="train+valid").fit_label == Protocol().fit_label


def test_the_longer_history_holds_training_and_validation(data):
    split = Protocol().split(data, 0)
    longer = with_validation(split)
    for market in data.dataset.markets:
        assert pairs(longer, market) == pairs(split.train, market) | pairs(split.valid, market)


def test_given_parts_are_taken_as_they_are(data):
    split = Protocol(name="given-full").split(data, 0)
    for name in ("train", "valid", "test"):
        assert getattr(split, name).fingerprint == data.parts[name].fingerprint


def test_given_full_needs_parts():
    with pytest.raises(DataError, match="bring no train and valid parts"):
        Protocol(name="given-full").split(result_of(markets()), 0)


def test_a_planted_pair_stays_a_candidate_and_is_refused(data):
    """A leak must not show as a missed item: the item is ranked, and the split is refused."""
    protocol = Protocol()
    split = protocol.split(data, 0)
    planted = plant(split, 3)
    for market in split.test.markets:
        honest, leaky = (protocol.held_out(parts, market) for parts in (split, planted))
        for row in range(len(honest)):
            assert ranked(leaky, row) == ranked(honest, row)
    protocol.require_sound(split)
    with pytest.raises(LeakError, match="leaks 3 interaction"):
        protocol.require_sound(planted)


def test_the_leaky_protocol_differs_from_ratio_full_in_training_only(data):
    leaky, honest = Protocol(name="dcmpt-leaky"), Protocol()
    planted, split = leaky.split(data, 0), honest.split(data, 0)
    leaky.require_sound(planted)
    assert leaky.leaks
    assert not honest.leaks
    found = find_leaks(planted)
    for market in split.test.markets:
        assert pairs(planted.test, market) == pairs(split.test, market)
        assert pairs(planted.valid, market) == pairs(split.valid, market)
        extra = pairs(planted.train, market) - pairs(split.train, market)
        held = pairs(split.test, market) | pairs(split.valid, market)
        assert pairs(planted.train, market) >= pairs(split.train, market)
        assert extra <= held
        in_test = found.filter(market=market, part_a="train", part_b="test").height
        assert (
            in_test == planted.details["leaked"][market] == len(extra & pairs(split.test, market))
        )
        for row, own in enumerate(ranked_lists(leaky, planted, market)):
            assert own == ranked(honest.held_out(split, market), row)
    share = sum(planted.details["leaked"].values()) / split.test.num_interactions
    assert 0.7 < share < 0.9


def ranked_lists(protocol, split, market):
    held_out = protocol.held_out(split, market)
    return [ranked(held_out, row) for row in range(len(held_out))]


def test_refit_of_a_leaky_split_holds_each_pair_once(data):
    split = Protocol(name="dcmpt-leaky").split(data, 0)
    merged = split.refit()
    for market in split.train.markets:
        both = pairs(split.train, market) | pairs(split.valid, market)
        assert pairs(merged.train, market) == both
        assert len(merged.train.edges(market)) == len(both)


@pytest.mark.parametrize("name", ["ratio-full", "acmr-market", "forec"])
def test_without_companions_no_day_of_a_held_out_item_is_learned_from(data, name):
    data = in_baskets(data)
    protocol = Protocol(name=name, companions="drop")
    split, whole = protocol.split(data, 0), Protocol(name=name).split(data, 0)
    assert find_leaks(split).is_empty()
    assert protocol.label == f"{name}, without companions"
    dropped = 0
    for market in data.dataset.markets:
        days = [days_of(part, market) for part in (split.train, split.valid, split.test)]
        assert not days[0] & (days[1] | days[2])
        assert not days[1] & days[2]
        assert pairs(split.test, market) == pairs(whole.test, market)
        parts = (split.train, split.valid, split.test, split.set_aside)
        assert set.union(*(pairs(part, market) for part in parts)) == pairs(data.dataset, market)
        dropped += len(split.set_aside.edges(market))
        held_out = protocol.held_out(split, market)
        assert set(held_out.users) <= {user for user, _ in pairs(split.train, market)}
        aside = pairs(split.set_aside, market)
        for row, user in enumerate(held_out.users):
            assert not {(user, item) for item in ranked(held_out, row)} & aside
    assert dropped == sum(split.details["companions"].values()) > 0


def in_baskets(data, days=60):
    """The same interactions with times rounded to few days, so that users buy several at once."""
    width = days * 86_400
    edges = {market: data.dataset.edges(market) for market in data.dataset.markets}
    rounded = {
        market: replace(own, timestamps=own.timestamps // width * width)
        for market, own in edges.items()
    }
    return replace(data, dataset=data.dataset.replace_edges(rounded), parts=None)


def days_of(part, market):
    edges = part.edges(market)
    days = edges.timestamps // 86_400
    return set(zip(edges.users.tolist(), days.tolist(), strict=True))


def test_the_key_of_a_protocol_holds_what_is_not_the_default():
    assert Protocol().key == {"name": "ratio-full"}
    changed = Protocol(name="forec", companions="drop", refit=True)
    assert changed.key == {"name": "forec", "companions": "drop", "refit": True}
    assert Protocol.model_validate(changed.key) == changed
