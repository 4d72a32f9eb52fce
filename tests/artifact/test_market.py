"""Recommending from an artifact: as the run does, and as brute force does."""

from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.artifact.making import SYSTEMS, TARGETS, models_of, packaged, write_by_hand

from crossmarket.artifact.artifact import Artifact
from crossmarket.errors import DataError, UsageError
from crossmarket.models.top_lists import history_matrix


@pytest.fixture(params=SYSTEMS)
def label(request):
    return request.param


@pytest.fixture
def both(label):
    run, path = packaged(label)
    return run, loaded(path)


@cache
def loaded(path):
    return Artifact.from_pretrained(path)


def rows_of(table):
    return {
        name: (part["item_id"].to_list(), part["score"].to_list())
        for (name,), part in table.partition_by("user_id", as_dict=True).items()
    }


def listed(answer):
    return [row.item_id for row in answer.items], [row.score for row in answer.items]


def test_known_users_get_the_lists_of_the_run(both, label):
    _, artifact = both
    assert tuple(artifact.markets) == TARGETS
    for name, market in artifact.markets.items():
        model = models_of(label)[name]
        users = model.users.ids.to_list()
        wanted = rows_of(model.recommend(users, k=7))
        for user in users:
            items, scores = listed(market.recommend(user, k=7))
            assert items == wanted[user][0]
            np.testing.assert_allclose(scores, wanted[user][1], rtol=1e-5, atol=1e-6)


def test_bare_histories_get_the_lists_of_the_run(both, label):
    _, artifact = both
    model, market = models_of(label)["mx"], artifact.market("mx")
    histories = [model.train.items.take(rows) for rows in ([0, 5, 9, 30], [3], [41, 8, 22])]
    if not market.form.supports_fold_in:
        answer = market.recommend(history=histories[0])
        assert answer.strategy == "popular"
        return
    wanted = rows_of(model.recommend(histories=histories, k=6))
    for number, history in enumerate(histories, start=1):
        answer = market.recommend(history=history[::-1], k=6)
        if answer.strategy == "popular":  # no item of it is linked to any of the market
            assert not np.any(model.score_histories(history_matrix([history], model.train.items)))
            continue
        assert answer.strategy == "fold-in"
        items, scores = listed(answer)
        assert items == wanted[f"history-{number}"][0]
        np.testing.assert_allclose(scores, wanted[f"history-{number}"][1], rtol=1e-5, atol=1e-6)


def test_the_strategy_names_the_source_of_every_row(both, label):
    _, artifact = both
    market = artifact.market("uk")
    own = {"dcmpt": "prompted", "popularity": "popular"}.get(label.split(",")[0], "personal")
    own = "backbone" if label in ("dcmpt, no prompt", "dcmpt, popularity") else own
    user = market.users.ids[0]
    for answer, strategy in (
        (market.recommend(user), own),
        (market.recommend(), "popular"),
        (market.recommend("nobody"), "popular"),
        (market.recommend("nobody", history=["no such item"]), "popular"),
    ):
        assert answer.strategy == strategy
        assert {row.strategy for row in answer.items} == {strategy}
        assert [row.rank for row in answer.items] == list(range(1, 11))
        assert (answer.market, answer.backbone) == ("uk", artifact.backbone.hash)
        assert answer.version == artifact.manifest.markets["uk"].sha256


def test_popular_is_what_most_users_took():
    run, path = packaged("dcmpt")
    market = Artifact.from_pretrained(path).market("de")
    table = run.data.dataset.to_frame().filter(market="de")
    wanted = table.group_by("item_id").len().sort(["len", "item_id"], descending=[True, False])
    items, scores = listed(market.recommend(k=1000))
    assert items == wanted["item_id"].to_list()
    assert scores == wanted["len"].to_list()


def test_explained_scores_add_up_and_the_history_is_left_out_one_by_one(both, label):
    run, artifact = both
    market, model = artifact.market("mx"), models_of(label)["mx"]
    user = market.users.ids[4]
    answer = market.recommend(user, k=4, explain=True)
    assert listed(answer) == listed(market.recommend(user, k=4))
    for row in answer.items:
        if row.strategy == "prompted":
            assert row.why.backbone + row.why.prompt == pytest.approx(row.score, abs=1e-9)
            # With `prompt_init=zeros` the first student, without prompts, may stay the best.
            assert row.why.prompt != 0 or label != "dcmpt, paper"
        else:
            assert row.why.backbone is None
        if not market.form.supports_fold_in:
            assert (row.why.reasons, row.why.evidence) == ((), "none")
            continue
        exact = label.startswith(("ease", "item-knn")) or label == "random-walk, exact"
        assert row.why.evidence == ("exact" if exact else "fold-in")
        history = run.data.dataset.to_frame().filter(market="mx", user_id=user)["item_id"].to_list()
        (item,) = model.train.items.rows([row.item_id])

        def score(names, item=item):
            if not names:
                return 0.0
            return float(
                model.score_histories(history_matrix([names], model.train.items), np.array([item]))[
                    0, 0
                ]
            )

        effects = {one: score(history) - score([h for h in history if h != one]) for one in history}
        best = sorted(effects.values(), reverse=True)[:3]
        found = [reason.effect for reason in row.why.reasons]
        np.testing.assert_allclose(found, best, rtol=1e-3, atol=1e-5)
        for reason in row.why.reasons:
            assert reason.effect == pytest.approx(effects[reason.item_id], rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("label", ["dcmpt", "dcmpt, output", "dcmpt, paper"])
def test_the_share_of_the_backbone_is_what_it_says_without_prompts(label):
    _, path = packaged(label)
    market, model = Artifact.from_pretrained(path).market("uk"), models_of(label)["uk"]
    view, bank = model._view, model._bank
    with_prompts, without = view.vectors(bank), view.vectors(None)
    if model._similarity == "cosine":
        lengths = with_prompts.norm(dim=1, keepdim=True)
        with_prompts, without = with_prompts / lengths, without / lengths
    split = view.nodes.num_users
    scores, shares = (rows[:split] @ rows[split:].T for rows in (with_prompts, without))
    for user, name in enumerate(market.users.ids):
        for row in market.recommend(name, k=5, explain=True).items:
            place = market.item_ids.index(row.item_id)
            assert row.score == pytest.approx(float(scores[user, place]), abs=1e-5)
            assert row.why.backbone == pytest.approx(float(shares[user, place]), abs=1e-5)


def test_a_folded_in_score_is_split_too():
    _, path = packaged("dcmpt, paper")
    market = Artifact.from_pretrained(path).market("uk")
    answer = market.recommend(history=market.item_ids[2:6], k=3, explain=True)
    for row in answer.items:
        assert row.why.evidence == "exact"
        assert row.why.prompt != 0
        assert row.why.backbone + row.why.prompt == pytest.approx(row.score, abs=1e-9)


@pytest.mark.parametrize("label", ["dcmpt", "ease", "lightgcn"])
def test_similar_items(label):
    market = Artifact.from_pretrained(packaged(label)[1]).market("de")
    item = market.item_ids[3]
    answer = market.similar(item, k=5)
    items, scores = listed(answer)
    assert len(set(items)) == 5
    assert item not in items
    if label == "ease":
        wanted = market.form.score_history(market.catalogue[[3]])
    else:
        unit = market.form.items / np.linalg.norm(market.form.items, axis=1, keepdims=True)
        wanted = unit @ unit[3]
    wanted = np.delete(wanted, 3)
    np.testing.assert_allclose(scores, np.sort(wanted)[::-1][:5], rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="sells no item 'nothing'"):
        market.similar("nothing")


def test_a_system_without_a_measure_says_so():
    market = Artifact.from_pretrained(packaged("popularity")[1]).market("de")
    with pytest.raises(UsageError, match="popularity does not say which items are alike"):
        market.similar(market.item_ids[0])


def test_unknown_ids_are_reported_and_nothing_else_changes():
    market = Artifact.from_pretrained(packaged("dcmpt")[1]).market("de")
    user, known = market.users.ids[0], market.item_ids[:3]
    plain = market.recommend(user, k=5)
    odd = market.recommend(user, k=5, history=["?"], exclude=["!", "?"])
    assert odd.ignored == ("?", "!")
    assert listed(odd) == listed(plain)
    some = market.recommend("who", history=[*known, "?"], include=["x"], k=5)
    assert some.ignored == ("who", "?", "x")
    assert (some.items, some.short) == ((), True)


def test_names_that_are_not_there_are_refused():
    artifact = Artifact.from_pretrained(packaged("dcmpt")[1])
    with pytest.raises(UsageError, match="no market 'fr'; choose from: de, mx, uk"):
        artifact.recommend("fr", "u")
    with pytest.raises(UsageError, match="k=0 asks for no items"):
        artifact.recommend("de", k=0)
    artifact.unavailable["jp"] = "it was changed"
    with pytest.raises(DataError, match="market 'jp' cannot be served: it was changed"):
        artifact.recommend("jp")


ITEMS = [f"i{number}" for number in range(9)]
HISTORIES = [[0, 1], [3], [2, 4, 8], []]


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory):
    """An artifact of each kind whose small whole scores tie all the time."""
    place = tmp_path_factory.mktemp("by-hand")
    return {
        kind: Artifact.from_pretrained(
            write_by_hand(place / kind, ITEMS, ["a", "b", "c", "d"], HISTORIES, kind)
        ).market("xx")
        for kind in ("vectors", "item-item", "counts")
    }


@given(
    kind=st.sampled_from(["vectors", "item-item", "counts"]),
    user=st.sampled_from(["a", "b", "c", "d", "stranger", None]),
    history=st.lists(st.sampled_from([*ITEMS, "strange"]), max_size=5),
    k=st.integers(1, 12),
    include=st.none() | st.lists(st.sampled_from([*ITEMS, "strange"]), max_size=6),
    exclude=st.lists(st.sampled_from([*ITEMS, "strange"]), max_size=6),
    exclude_seen=st.booleans(),
)
def test_every_answer_is_brute_force(
    by_hand, kind, user, history, k, include, exclude, exclude_seen
):
    market = by_hand[kind]
    answer = market.recommend(
        user,
        history=history,
        k=k,
        include=include,
        exclude=exclude,
        exclude_seen=exclude_seen,
    )
    form, known = market.form, user in ("a", "b", "c", "d")
    given_rows = sorted({ITEMS.index(item) for item in history if item in ITEMS})
    own = HISTORIES["abcd".index(user)] if known else []
    if kind == "counts":
        scores = form.counts
    elif kind == "item-item":
        rows = own if known else given_rows
        folded = [sum(form.weights[row][item] for row in rows) for item in range(9)]
        scores = folded if known or rows else popularity()
    elif known:
        scores = [float(form.users["abcd".index(user)] @ vector) for vector in form.items]
    elif given_rows:
        vector = sum(form.carried[row] for row in given_rows) / len(given_rows) ** 0.5
        scores = [float(vector @ item) for item in form.items]
    else:
        scores = popularity()
    allowed = [
        row
        for row, item in enumerate(ITEMS)
        if (include is None or item in include)
        and item not in exclude
        and not (exclude_seen and (row in own or row in given_rows))
    ]
    order = sorted(allowed, key=lambda row: (-np.float32(scores[row]), row))[:k]
    items, values = listed(answer)
    np.testing.assert_allclose(values, [scores[row] for row in order], rtol=1e-5, atol=1e-5)
    if kind != "vectors" or known:  # whole numbers tie exactly
        assert items == [ITEMS[row] for row in order]
    assert len(set(items)) == len(items) <= k
    assert {ITEMS.index(item) for item in items} <= set(allowed)
    assert answer.short == (len(allowed) < k)
    asked = [*([user] if user == "stranger" else []), *history, *(include or []), *exclude]
    assert answer.ignored == tuple(
        dict.fromkeys(name for name in asked if name in ("stranger", "strange"))
    )


def popularity():
    return [sum(item in history for history in HISTORIES) for item in range(9)]


def test_an_answer_is_json(both):
    _, artifact = both
    answer = artifact.recommend("mx", "mx-03", k=2, explain=True).to_dict()
    assert answer.keys() == {
        "market",
        "version",
        "backbone",
        "strategy",
        "short",
        "ignored",
        "items",
    }
    assert answer["items"][0].keys() == {"item_id", "score", "rank", "strategy", "why"}
    plain = artifact.recommend("mx", "mx-03", k=2).to_dict()
    assert "why" not in plain["items"][0]
    assert pl.DataFrame(plain["items"]).height == 2
