"""Ranking metrics against plain definitions averaged over every order of the ties."""

import itertools
import math
import random

import hypothesis.strategies as st
import ir_measures
import numpy as np
import pytest
from hypothesis import example, given, settings
from ir_measures import AP, RR, R, Success, nDCG

from crossmarket.errors import DataError, UsageError
from crossmarket.metrics.ranking import Metric, parse_metric, ranking_metrics

KINDS = ("ndcg", "recall", "hit", "mrr", "map")
INF = math.inf


def define(kind, ranking, relevant, k):
    """The textbook metric of one ranking without ties."""
    ranks = [rank for rank, item in enumerate(ranking[:k], start=1) if item in relevant]
    best = min(len(relevant), k)
    match kind:
        case "recall":
            return len(ranks) / len(relevant)
        case "hit":
            return float(bool(ranks))
        case "mrr":
            return 1 / ranks[0] if ranks else 0.0
        case "map":
            return sum(hits / rank for hits, rank in enumerate(ranks, start=1)) / best
        case "ndcg":
            ideal = sum(1 / math.log2(rank + 1) for rank in range(1, best + 1))
            return sum(1 / math.log2(rank + 1) for rank in ranks) / ideal


def mean_over_orders(kind, scores, relevant, k):
    """Average of the metric over every ranking that the scores allow."""
    candidates = [item for item, score in enumerate(scores) if score != -INF]
    values = [
        define(kind, order, relevant, k)
        for order in itertools.permutations(candidates)
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    return sum(values) / len(values)


def pairs(relevant_of_users):
    rows = [row for row, relevant in enumerate(relevant_of_users) for _ in relevant]
    columns = [column for relevant in relevant_of_users for column in relevant]
    return np.array(rows, dtype=np.int32), np.array(columns, dtype=np.int32)


@st.composite
def tied_rankings(draw):
    num_items = draw(st.integers(1, 6))
    num_users = draw(st.integers(1, 3))
    score = st.sampled_from([-INF, -1.5, -0.0, 0.0, 2.0])
    scores = draw(
        st.lists(
            st.lists(score, min_size=num_items, max_size=num_items),
            min_size=num_users,
            max_size=num_users,
        )
    )
    relevant = [draw(st.sets(st.integers(0, num_items - 1))) for _ in range(num_users)]
    return scores, relevant, draw(st.integers(1, num_items + 2))


@settings(max_examples=150, deadline=None)
@given(tied_rankings(), st.sampled_from([np.float32, np.float64]))
@example(([[1.0] * 6], [{0, 2, 5}], 2), np.float32)
@example(([[2.0, 1.0, 1.0, 1.0, 1.0, 0.0]], [{0, 1, 2, 5}], 3), np.float32)
@example(([[-INF, -INF]], [{0}], 1), np.float32)
def test_ties_take_the_mean_over_all_their_orders(case, dtype):
    scores, relevant, k = case
    measured = ranking_metrics(
        np.array(scores, dtype=dtype), *pairs(relevant), [f"{kind}@{k}" for kind in KINDS]
    )
    for kind in KINDS:
        values = measured[f"{kind}@{k}"]
        assert values.dtype == np.float64
        for row, (user_scores, user_relevant) in enumerate(zip(scores, relevant, strict=True)):
            if not user_relevant:
                assert math.isnan(values[row])
                continue
            expected = mean_over_orders(kind, user_scores, user_relevant, k)
            assert values[row] == pytest.approx(expected, abs=1e-12), (kind, row)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 25))
def test_without_ties_they_are_the_textbook_metrics(seed, num_items, k):
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(num_items, dtype=np.float32), (8, 1)), axis=1)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    relevant = [set(np.flatnonzero(rng.random(num_items) < 0.3).tolist()) | {0} for _ in scores]
    measured = ranking_metrics(scores, *pairs(relevant), [f"{kind}@{k}" for kind in KINDS])
    for row, user_relevant in enumerate(relevant):
        ranking = [item for item in np.argsort(-scores[row]) if scores[row, item] > -np.inf]
        for kind in KINDS:
            expected = define(kind, ranking, user_relevant, k)
            assert measured[f"{kind}@{k}"][row] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_agreement_with_ir_measures(seed):
    """Same definitions as trec_eval, save for AP@10: that divides by |G|, not by min(|G|, 10)."""
    rng = np.random.default_rng(seed)
    num_users, num_items = 60, 80
    scores = rng.permuted(np.tile(np.arange(num_items, dtype=np.float32), (num_users, 1)), axis=1)
    relevant = [
        set(rng.choice(num_items, size=rng.integers(1, 20), replace=False).tolist())
        for _ in range(num_users)
    ]
    names = ["ndcg@10", "recall@10", "mrr@10", "hit@10", "map@10"]
    measures = [nDCG @ 10, R @ 10, RR @ 10, Success @ 10, AP @ 10]
    qrels = {str(u): {str(i): 1 for i in items} for u, items in enumerate(relevant)}
    run = {str(u): {str(i): float(s) for i, s in enumerate(row)} for u, row in enumerate(scores)}
    measured = ranking_metrics(scores, *pairs(relevant), names)
    name_of = dict(zip(map(str, measures), names, strict=True))
    compared = 0
    for result in ir_measures.iter_calc(measures, qrels, run):
        user, name = int(result.query_id), name_of[str(result.measure)]
        factor = len(relevant[user]) / min(len(relevant[user]), 10) if name == "map@10" else 1
        assert measured[name][user] == pytest.approx(result.value * factor, abs=1e-9), name
        compared += 1
    assert compared == num_users * len(names)


def test_an_excluded_relevant_item_is_missed_but_counted():
    scores = np.array([[3.0, -np.inf, 1.0]], dtype=np.float32)
    measured = ranking_metrics(
        scores, np.array([0, 0]), np.array([0, 1]), ["recall@2", "ndcg@2", "map@2", "hit@2"]
    )
    assert measured["recall@2"] == [0.5]
    assert measured["ndcg@2"] == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert measured["map@2"] == [0.5]
    assert measured["hit@2"] == [1.0]


def test_a_perfect_ranking_scores_exactly_one():
    scores = -np.arange(40, dtype=np.float32)[None, :]
    names = [f"{kind}@{k}" for kind in KINDS for k in (1, 5, 20)]
    measured = ranking_metrics(scores, np.zeros(20, dtype=int), np.arange(20), names)
    for name in names:
        if not name.startswith(("recall", "map")):
            assert measured[name] == [1.0], name
    assert measured["map@20"] == pytest.approx(1.0, abs=1e-15)
    assert measured["recall@5"] == [0.25]


def test_a_constant_model_gets_what_chance_gets():
    """1 relevant of 2,000 equal scores: each rank has the same probability."""
    measured = ranking_metrics(
        np.zeros((1, 2000)), np.array([0]), np.array([0]), ["hit@10", "mrr@10", "ndcg@10"]
    )
    assert measured["hit@10"] == pytest.approx(10 / 2000, rel=1e-12)
    assert measured["mrr@10"] == pytest.approx(sum(1 / r for r in range(1, 11)) / 2000, rel=1e-12)
    gains = sum(1 / math.log2(r + 1) for r in range(1, 11))
    assert measured["ndcg@10"] == pytest.approx(gains / 2000, rel=1e-12)


def test_users_candidates_and_pairs_in_any_order_and_many_blocks(monkeypatch):
    rng = np.random.default_rng(7)
    scores = rng.integers(0, 6, size=(50, 30)).astype(np.float32)
    relevant = [set(rng.choice(30, size=3, replace=False).tolist()) for _ in scores]
    rows, columns = pairs(relevant)
    names = [f"{kind}@{k}" for kind in KINDS for k in (3, 10)]
    whole = ranking_metrics(scores, rows, columns, names)
    monkeypatch.setattr("crossmarket.metrics.ties.BLOCK_ENTRIES", 64)
    order = rng.permutation(np.tile(np.arange(len(rows)), 2))  # every pair twice, shuffled
    shuffle = rng.permutation(30)
    again = ranking_metrics(
        scores[:, shuffle], rows[order], np.argsort(shuffle)[columns[order]], names
    )
    for name in names:
        np.testing.assert_array_equal(whole[name], again[name])


def test_infinite_scores_tie_with_each_other():
    scores = np.array([[np.inf, np.inf, 0.0]])
    measured = ranking_metrics(scores, np.array([0, 0]), np.array([0, 1]), ["recall@1", "mrr@1"])
    assert measured["recall@1"] == [0.5]
    assert measured["mrr@1"] == [1.0]


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (3, 5)])
def test_nobody_has_relevant_items(shape):
    none = np.array([], dtype=np.int64)
    measured = ranking_metrics(np.zeros(shape, dtype=np.float32), none, none, ["map@5", "hit@1"])
    assert list(measured) == ["map@5", "hit@1"]
    for values in measured.values():
        assert values.shape == (shape[0],)
        assert np.isnan(values).all()


def test_a_score_that_is_not_a_number_is_refused():
    scores = np.array([[1.0, 2.0], [-np.inf, np.nan]])
    with pytest.raises(DataError, match="row 1, candidate 1 is not a number"):
        ranking_metrics(scores, np.array([0]), np.array([0]), ["hit@1"])


@pytest.mark.parametrize(("row", "column"), [(2, 0), (-1, 0), (0, 3), (0, -1)])
def test_a_pair_outside_the_scores_is_refused(row, column):
    with pytest.raises(UsageError, match="outside the 2 x 3 scores"):
        ranking_metrics(np.zeros((2, 3)), np.array([row]), np.array([column]), ["hit@1"])


def test_metric_names_are_read_and_written_back():
    assert parse_metric("ndcg@10") == Metric("ndcg", 10)
    for kind in KINDS:
        assert str(parse_metric(f"{kind}@{5}")) == f"{kind}@5"


@pytest.mark.parametrize(
    "name", ["auc@10", "ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@1.5", "NDCG@10", "ndcg@10 ", ""]
)
def test_a_wrong_metric_name_lists_the_kinds(name):
    with pytest.raises(UsageError, match="ndcg, recall, hit, mrr, map"):
        parse_metric(name)


def test_the_closed_forms_hold_on_large_tie_groups():
    """Too many orders to enumerate: compare with 4,000 random ones."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 3, size=60).astype(np.float32)
    relevant = set(rng.choice(60, size=9, replace=False).tolist())
    shuffler = random.Random(3)
    for kind in KINDS:
        values = []
        for _ in range(4000):
            order = list(range(60))
            shuffler.shuffle(order)
            order.sort(key=lambda item: -scores[item])
            values.append(define(kind, order, relevant, 10))
        expected = np.mean(values)
        error = 4.5 * np.std(values) / math.sqrt(len(values))
        measured = ranking_metrics(scores[None], *pairs([relevant]), [f"{kind}@10"])
        assert measured[f"{kind}@10"][0] == pytest.approx(expected, abs=error)
