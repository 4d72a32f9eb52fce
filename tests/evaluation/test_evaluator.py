import math

import numpy as np
import polars as pl
import pytest
from tests.small import markets, result_of

from crossmarket.errors import DataError
from crossmarket.evaluation.evaluator import (
    LIST_METRICS,
    METRICS,
    MarketEvaluation,
    evaluate_market,
    summarise,
)
from crossmarket.evaluation.protocols import Protocol


class Fixed:
    """A model with a score for every user and item, all of them different."""

    def __init__(self, split, market, seed=0):
        shape = (len(split.train.users(market)), len(split.train.items))
        order = np.random.default_rng(seed).permutation(shape[0] * shape[1])
        self.table = order.reshape(shape).astype(np.float32)
        self.catalogue = split.train.catalogue(market)

    def score(self, users, items=None):
        return self.table[np.ix_(users, self.catalogue if items is None else items)].copy()

    def score_lists(self, users, items):
        return self.table[users[:, None], items]


def by_hand(model, split, market, protocol):
    """Every metric by its definition, one user at a time; and the lists."""
    train, valid, test = (
        part.matrix(market).toarray() > 0 for part in (split.train, split.valid, split.test)
    )
    values, lists = {}, {}
    for user in np.flatnonzero(test.any(axis=1)):
        if protocol.name == "time-full" and not train[user].any():
            continue
        open_items = [
            item for item in model.catalogue if not train[user, item] and not valid[user, item]
        ]
        top = sorted(open_items, key=lambda item: -model.table[user, item])[:10]
        relevant = set(np.flatnonzero(test[user]))
        hits = [item in relevant for item in top]
        ideal = sum(1 / math.log2(place + 2) for place in range(min(10, len(relevant))))
        ranks = [place + 1 for place, hit in enumerate(hits) if hit]
        values[split.train.users(market).ids[int(user)]] = {
            "ndcg@10": sum(1 / math.log2(rank + 1) for rank in ranks) / ideal,
            "recall@10": len(ranks) / len(relevant),
            "hit@10": float(bool(ranks)),
            "mrr@10": 1 / ranks[0] if ranks else 0.0,
            "map@10": sum((n + 1) / rank for n, rank in enumerate(ranks)) / min(10, len(relevant)),
        }
        lists[user] = top
    return values, lists


@pytest.mark.parametrize("name", ["ratio-full", "time-full"])
@pytest.mark.parametrize("market", ["de", "mx", "uk"])
def test_values_are_those_of_the_definitions(name, market):
    protocol = Protocol(name=name)
    split = protocol.split(result_of(markets()), 2)
    model = Fixed(split, market)
    found = evaluate_market(model, protocol, split, market)
    expected, lists = by_hand(model, split, market, protocol)
    assert found.per_user.columns == ["market", "user_id", *METRICS]
    assert found.per_user["market"].unique().to_list() == [market]
    assert found.per_user["user_id"].to_list() == list(expected)
    for metric in METRICS:
        values = [row[metric] for row in expected.values()]
        assert found.per_user[metric].to_list() == pytest.approx(values, abs=1e-12)
    assert any(row["ndcg@10"] > 0 for row in expected.values())

    shown = {item for top in lists.values() for item in top}
    assert found.lists["coverage@10"] == pytest.approx(len(shown) / len(model.catalogue))


def test_popularity_of_lists_is_1_where_they_hold_what_sells_most():
    protocol = Protocol()
    split = protocol.split(result_of(markets()), 2)
    counts = np.bincount(split.train.edges("de").items, minlength=len(split.train.items))
    best, worst = Fixed(split, "de"), Fixed(split, "de")
    best.table = np.tile(counts.astype(np.float32), (len(best.table), 1))
    worst.table = -best.table
    popular = evaluate_market(best, protocol, split, "de").lists["popularity@10"]
    random = evaluate_market(Fixed(split, "de"), protocol, split, "de").lists["popularity@10"]
    unpopular = evaluate_market(worst, protocol, split, "de").lists["popularity@10"]
    assert unpopular < random < popular


def test_constant_scores_take_the_expected_value_of_a_random_order():
    protocol = Protocol()
    split = protocol.split(result_of(markets()), 0)
    model = Fixed(split, "uk")
    model.table[:] = 1.0
    found = evaluate_market(model, protocol, split, "uk", ["recall@10"])
    held_out = protocol.held_out(split, "uk")
    masked = np.isinf(held_out.mask(model.score(held_out.users), slice(None)))
    open_items = (~masked).sum(axis=1)
    assert found.per_user["recall@10"].to_numpy() == pytest.approx(10 / open_items)


def test_chosen_metrics_only():
    protocol = Protocol()
    split = protocol.split(result_of(markets()), 0)
    found = evaluate_market(Fixed(split, "mx"), protocol, split, "mx", ["ndcg@3"])
    assert found.per_user.columns == ["market", "user_id", "ndcg@3"]


def test_a_market_without_test_users_is_refused():
    protocol = Protocol()
    split = protocol.split(result_of(markets()), 0)
    nothing = split.test.edges("mx").select(slice(0, 0))
    empty = type(split)(
        "ratio", 0, {}, split.train, split.valid, split.test.replace_edges({"mx": nothing})
    )
    with pytest.raises(DataError, match="leaves no test user in market 'mx'"):
        evaluate_market(Fixed(split, "mx"), protocol, empty, "mx")


def part(market, values, shown=0.5):
    frame = pl.DataFrame({"market": market, "user_id": [str(n) for n in range(len(values))]})
    columns = dict.fromkeys(METRICS, values)
    return MarketEvaluation(
        frame.with_columns(**{k: pl.Series(v) for k, v in columns.items()}),
        dict.fromkeys(LIST_METRICS, shown),
        pl.DataFrame(),
    )


def test_hits_place_every_held_out_interaction_in_its_users_list():
    protocol = Protocol()
    split = protocol.split(result_of(markets()), 0)
    model = Fixed(split, "uk")
    found = evaluate_market(model, protocol, split, "uk")
    held_out = protocol.held_out(split, "uk")
    users = split.test.users("uk").take(held_out.users)
    lists = held_out.top_lists(lambda rows: model.score(rows, held_out.candidates), 10)
    named = {u: split.test.items.take(row) for u, row in zip(users, lists, strict=True)}
    edges = split.test.edges("uk")
    owners, items = split.test.users("uk").take(edges.users), split.test.items.take(edges.items)
    pairs = set(zip(owners, items, strict=True))
    assert set(zip(found.hits["user_id"], found.hits["item_id"], strict=True)) == pairs
    for _, user, item, rank in found.hits.iter_rows():
        assert rank == (named[user].index(item) + 1 if item in named[user] else 0)
    assert found.hits["rank"].max() > 0


def test_macro_weighs_markets_and_micro_weighs_users():
    summary = summarise([part("aa", [1.0, 0.0, 0.0, 0.0], 0.2), part("bb", [1.0], 0.6)])
    assert summary["markets"]["aa"]["ndcg@10"] == 0.25
    assert summary["markets"]["aa"]["users"] == 4
    assert summary["markets"]["bb"]["users"] == 1
    assert summary["macro"]["ndcg@10"] == pytest.approx((0.25 + 1.0) / 2)
    assert summary["macro"]["coverage@10"] == pytest.approx(0.4)
    assert summary["micro"]["ndcg@10"] == pytest.approx(2 / 5)
    assert summary["users"] == 5
