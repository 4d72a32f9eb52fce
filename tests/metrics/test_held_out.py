"""Metrics of many users in blocks, against one user after the other."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmarket.metrics import held_out as module
from crossmarket.metrics.held_out import HeldOut
from crossmarket.metrics.ranking import ranking_metrics

METRICS = ["ndcg@3", "recall@5", "mrr@4"]
NUM_USERS, NUM_ITEMS = 23, 17


@pytest.fixture(params=[16_000_000, 250, 1], ids=["one-block", "some-blocks", "user-by-user"])
def block_bytes(request, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", request.param)


@pytest.fixture
def case():
    """Held-out and excluded items (disjoint), candidates, and scores with ties."""
    rng = np.random.default_rng(0)
    kind = rng.choice(3, size=(NUM_USERS, NUM_ITEMS), p=[0.7, 0.1, 0.2])
    kind[[4, 9]] = 0  # nothing is held out
    candidates = np.sort(rng.choice(NUM_ITEMS, size=12, replace=False))
    scores = rng.integers(0, 6, size=(NUM_USERS, NUM_ITEMS)).astype(np.float32)
    return kind == 1, kind == 2, candidates, scores


def sparse(mask):
    return csr_array(mask.astype(np.float32))


def scorer(scores, candidates):
    """Scores as a model gives them; the answer may be overwritten."""
    return lambda users: scores[users][:, candidates].copy()


def one_by_one(relevant, allowed, candidates, scores, users):
    """Metrics of each user on its own; `allowed` says what is ranked."""
    values = []
    for user in users:
        row = np.where(allowed[user, candidates], scores[user, candidates], -np.inf)[None]
        columns = np.flatnonzero(relevant[user, candidates])
        values.append(ranking_metrics(row, np.zeros_like(columns), columns, METRICS))
    return {name: np.concatenate([value[name] for value in values]) for name in METRICS}


def assert_same(measured, expected):
    assert list(measured) == METRICS
    for name in METRICS:
        np.testing.assert_allclose(measured[name], expected[name], rtol=1e-12)


def test_lists_of_their_own_give_what_whole_rows_give(case, block_bytes):
    relevant, excluded, candidates, scores = case
    included = np.random.default_rng(1).random(relevant.shape) < 0.4
    included |= relevant
    held_out = HeldOut(
        sparse(relevant), sparse(excluded), candidates, included=sparse(included & ~excluded)
    )
    whole = held_out.rank(scorer(scores, candidates), METRICS, 5)
    asked = []

    def score_lists(users, items):
        asked.append(items.size)
        return scores[users[:, None], items].copy()

    def refuse(users):
        raise AssertionError("whole rows are not needed")

    lists = held_out.rank(refuse, METRICS, 5, score_lists)
    assert_same(lists.values, whole.values)
    np.testing.assert_array_equal(lists.lists, whole.lists)
    assert 0 < sum(asked) < len(held_out) * len(candidates)


def test_all_candidates_but_the_excluded_are_ranked(case, block_bytes):
    relevant, excluded, candidates, scores = case
    held_out = HeldOut(sparse(relevant), sparse(excluded), candidates)
    assert held_out.users.tolist() == np.flatnonzero(relevant.any(axis=1)).tolist()
    assert len(held_out) == len(held_out.users) < NUM_USERS
    measured = held_out.evaluate(scorer(scores, candidates), METRICS)
    expected = one_by_one(relevant, ~excluded, candidates, scores, held_out.users)
    assert_same(measured, expected)


def test_a_sampled_protocol_ranks_only_what_is_included(case, block_bytes):
    relevant, excluded, candidates, scores = case
    included = relevant | (np.random.default_rng(1).random(relevant.shape) < 0.3)
    held_out = HeldOut(sparse(relevant), sparse(excluded), candidates, included=sparse(included))
    measured = held_out.evaluate(scorer(scores, candidates), METRICS)
    assert_same(measured, one_by_one(relevant, included, candidates, scores, held_out.users))


def test_only_the_named_users_count(case, block_bytes):
    relevant, excluded, candidates, scores = case
    among = np.arange(NUM_USERS) % 2 == 0
    held_out = HeldOut(sparse(relevant), sparse(excluded), candidates, among=among)
    assert held_out.users.tolist() == np.flatnonzero(relevant.any(axis=1) & among).tolist()
    measured = held_out.evaluate(scorer(scores, candidates), METRICS)
    expected = one_by_one(relevant, ~excluded, candidates, scores, held_out.users)
    assert_same(measured, expected)


def test_lists_are_the_best_candidates_as_item_rows(case, block_bytes):
    relevant, excluded, candidates, scores = case
    excluded[0, candidates[2:]] = True  # user 0 has at most two candidates left
    relevant[0] = False
    relevant[0, candidates[0]] = True
    held_out = HeldOut(sparse(relevant), sparse(excluded), candidates)
    lists = held_out.top_lists(scorer(scores, candidates), 4)
    assert lists.dtype == np.int64
    for row, user in enumerate(held_out.users):
        kept = [item for item in candidates if not excluded[user, item]]
        expected = sorted(kept, key=lambda item: (-scores[user, item], item))[:4]
        assert lists[row].tolist() == expected + [-1] * (4 - len(expected))


def test_nobody_to_count_gives_empty_answers():
    nothing = csr_array((5, NUM_ITEMS), dtype=np.float32)
    held_out = HeldOut(nothing, nothing, np.arange(NUM_ITEMS))
    measured = held_out.evaluate(lambda users: np.zeros((len(users), NUM_ITEMS)), METRICS)
    assert list(measured) == METRICS
    assert all(values.shape == (0,) for values in measured.values())
    assert held_out.top_lists(lambda users: np.zeros((0, NUM_ITEMS)), 3).shape == (0, 3)


def test_a_held_out_item_that_is_no_candidate_is_not_looked_for():
    relevant = np.zeros((1, 4), dtype=bool)
    relevant[0, [0, 3]] = True
    candidates = np.array([0, 1])
    held_out = HeldOut(sparse(relevant), sparse(np.zeros_like(relevant)), candidates)
    measured = held_out.evaluate(lambda users: np.array([[2.0, 1.0]]), ["recall@1"])
    assert measured["recall@1"].tolist() == [1.0]


def test_the_arrays_pin_down_the_protocol(case):
    relevant, excluded, candidates, _ = case

    def key(held_out, **changes):
        values = {"relevant": relevant, "excluded": excluded, "candidates": candidates, **changes}
        other = HeldOut(
            sparse(values["relevant"]),
            sparse(values["excluded"]),
            values["candidates"],
            included=values.get("included"),
        )
        return b"|".join(array.tobytes() for array in (held_out or other).arrays())

    first = key(None)
    assert key(None) == first
    flipped = excluded.copy()
    user, item = 0, candidates[0]
    flipped[user, item] = ~flipped[user, item]
    changed = relevant.copy()
    changed[user, item] = ~changed[user, item]
    others = [
        key(None, excluded=flipped),
        key(None, relevant=changed),
        key(None, candidates=candidates[1:]),
        key(None, included=sparse(relevant)),
    ]
    assert len({first, *others}) == 5
    unsorted = sparse(excluded)
    for row in range(NUM_USERS):
        part = slice(unsorted.indptr[row], unsorted.indptr[row + 1])
        unsorted.indices[part] = unsorted.indices[part][::-1].copy()
    unsorted.has_sorted_indices = False
    assert key(HeldOut(sparse(relevant), unsorted, candidates)) == first
