"""Every address of the service, answered as the artifact says."""

import numpy as np
import pytest
from tests.serving.calling import call, part, problem
from tests.serving.making import FIRST, ITEMS, MARKETS, make


@pytest.fixture(scope="module")
def uk():
    return make("uk", FIRST)[1]


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def post(shared, body, market="uk", address="recommendations", **values):
    return call(shared.public, "POST", f"/v1/markets/{market}/{address}", json=body, **values)


def test_markets_are_listed_and_described(shared, uk):
    found = call(shared.public, "GET", "/v1/markets").json()
    assert [one["market"] for one in found["markets"]] == list(MARKETS)
    assert found["unavailable"] == []
    one = call(shared.public, "GET", "/v1/markets/uk").json()
    assert one in found["markets"]
    assert one == {
        "market": "uk",
        "version": uk.version,
        "backbone": one["backbone"],
        "system": "by-hand",
        "strategy": "personal",
        "users": 20,
        "items": 40,
        "interactions": 100,
        "versions": [uk.version],
    }


@pytest.mark.parametrize("k", [1, 10, 1000])
def test_each_user_gets_exactly_the_best_unseen_items(shared, uk, k):
    for user in uk.users:
        path = f"/v1/markets/uk/users/{part(user)}/recommendations?k={k}"
        answer = call(shared.public, "GET", path)
        assert ids(answer) == uk.best(user, k)
        found = answer.json()
        scores = [item["score"] for item in found["items"]]
        assert scores == sorted(scores, reverse=True)
        assert (found["market"], found["version"]) == ("uk", uk.version)
        assert (found["strategy"], found["ignored"]) == ("personal", [])
        assert found["short"] == (len(scores) < k)
        assert all(item.keys() == {"id", "score", "strategy"} for item in found["items"])


def test_a_body_says_the_same_and_more(shared, uk):
    user = uk.users[3]
    path = f"/v1/markets/uk/users/{part(user)}/recommendations"
    plain = call(shared.public, "GET", path)
    assert post(shared, {"user": user}).content == plain.content
    best = uk.best(user, 40)
    assert ids(post(shared, {"user": user, "exclude": best[:2], "k": 3})) == best[2:5]
    chosen = [best[7], best[1], ITEMS[uk.seen[user][0]]]
    only = post(shared, {"user": user, "include": chosen})
    assert ids(only) == [best[1], best[7]]
    assert only.json()["short"]
    everything = post(shared, {"user": user, "include_seen": True, "k": 40})
    assert set(ids(everything)) == set(ITEMS)
    kept = call(shared.public, "GET", path + "?include_seen=true&k=40")
    assert kept.content == everything.content
    assert ids(post(shared, {"user": user, "include": []})) == []


def test_a_history_is_folded_in_whatever_its_length(shared, uk):
    carried = uk.form.carried
    for count in (3, 30, 40):
        history = ITEMS[:count]
        vector = carried[:count].sum(axis=0) / np.sqrt(count)
        order = np.argsort(-(uk.form.items @ vector), kind="stable")
        wanted = [ITEMS[item] for item in order if item >= count]
        answer = post(shared, {"history": [*history, *history], "k": 5})
        assert ids(answer) == wanted[:5]
        assert answer.json()["strategy"] == "fold-in"


def test_unknown_ids_are_named_and_get_what_sells_most(shared):
    strange = "nobody \u2028 <script>"
    found = post(shared, {"user": strange, "history": ["no item"], "exclude": ["gone"]}).json()
    assert found["strategy"] == "popular"
    assert found["ignored"] == [strange, "no item", "gone"]
    assert {item["strategy"] for item in found["items"]} == {"popular"}
    assert len(found["items"]) == 10
    path = f"/v1/markets/uk/users/{part(strange)}/recommendations"
    assert call(shared.public, "GET", path).json()["ignored"] == [strange]


def test_an_explanation_comes_where_it_is_asked_for(shared, uk):
    request = {"history": ITEMS[:4], "k": 3}
    plain, why = post(shared, request).json(), post(shared, {**request, "explain": True}).json()
    for item, explained in zip(plain["items"], why["items"], strict=True):
        reason = explained.pop("why")
        assert explained == item
        assert len(reason["reasons"]) == 3
        assert {one["id"] for one in reason["reasons"]} <= set(ITEMS[:4])
        assert reason["evidence"] == "exact"


def test_a_batch_is_the_same_answers_one_by_one(shared, uk):
    requests = [{"user": uk.users[0]}, {"history": ITEMS[:2], "k": 3}, {"user": "x"}, {}]
    found = post(shared, {"requests": requests}, address="batch").json()
    assert found["answers"] == [post(shared, one).json() for one in requests]
    assert found["version"] == uk.version


def test_similar_items_are_those_of_the_closest_vectors(shared, uk):
    units = uk.form.items / np.linalg.norm(uk.form.items, axis=1, keepdims=True)
    likeness = units @ units[7]
    likeness[7] = -np.inf
    wanted = [ITEMS[item] for item in np.argsort(-likeness, kind="stable")[:4]]
    path = f"/v1/markets/uk/items/{part(ITEMS[7])}/similar?k=4"
    assert ids(call(shared.public, "GET", path)) == wanted
    strange = call(shared.public, "GET", "/v1/markets/uk/items/none/similar")
    problem(strange, 404, "unknown_item")


def test_a_slash_in_an_id_may_come_as_it_is(shared):
    item = ITEMS[7]
    assert "/" in item
    encoded = call(shared.public, "GET", f"/v1/markets/uk/items/{part(item)}/similar")
    plain = call(shared.public, "GET", f"/v1/markets/uk/items/{item}/similar")
    assert ids(plain) == ids(encoded)
    user = "a/recommendations/b/users/c"
    found = call(shared.public, "GET", f"/v1/markets/uk/users/{user}/recommendations").json()
    assert found["ignored"] == [user]


def test_health_needs_no_key_and_no_name(shared):
    for path, wanted in {
        "/livez": {"status": "alive"},
        "/readyz": {"status": "ready", "markets": dict.fromkeys(MARKETS, "ready")},
    }.items():
        answer = call(shared.public, "GET", path, key=None, host="10.1.2.3")
        assert (answer.status_code, answer.json()) == (200, wanted)


def test_every_answer_forbids_keeping_and_guessing(shared):
    for path in ("/livez", "/v1/markets", "/nothing", "/metrics", "/openapi.json"):
        headers = call(shared.public, "GET", path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert not [name for name in headers if name.startswith("access-control")]


def test_metrics_count_by_market_and_route_but_name_nobody(make_service, uk):
    service = make_service()
    path = f"/v1/markets/uk/users/{part(uk.users[0])}/recommendations"
    for _ in range(3):
        call(service.public, "GET", path)
    call(service.public, "GET", "/v1/markets/no-such-market")
    call(service.public, "GET", "/v1/markets/%0a%22/users/secret-user/recommendations")
    text = call(service.public, "GET", "/metrics").text
    route = "/v1/markets/{market}/users/{user}/recommendations"
    counted = f'crossmarket_requests_total{{market="uk",route="{route}",status="2xx"}} 3.0'
    assert counted in text
    assert 'crossmarket_lists_total{market="uk",strategy="personal"} 3.0' in text
    assert 'crossmarket_problems_total{code="unknown_market"} 2.0' in text
    assert 'crossmarket_market_ready{market="mx"} 1.0' in text
    assert not [word for word in ("example.org", "secret", "no-such-market", "%0a") if word in text]


def test_head_is_get_without_a_body_and_other_methods_are_named(shared):
    assert call(shared.public, "HEAD", "/v1/markets").status_code == 200
    answer = call(shared.public, "POST", "/v1/markets")
    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    answer = call(shared.public, "GET", "/v1/markets/uk/batch")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_market_without_a_measure_says_so(make_service, tmp_path):
    from tests.artifact.making import write_by_hand

    folder = write_by_hand(tmp_path / "a", ITEMS, ["u"], [[0]], "counts")
    service = make_service(artifact=folder)
    path = f"/v1/markets/xx/items/{part(ITEMS[1])}/similar"
    problem(call(service.public, "GET", path), 404, "no_similarity")
