"""What is wrong with a request is named, never fatal, and never answered with something else."""

import asyncio
import json
import time

import pytest
from tests.serving.calling import ADMIN, READ, call, client_of, part, problem
from tests.serving.making import ITEMS

from crossmarket.serving.settings import Limits

LISTS = "/v1/markets/uk/recommendations"
TRAVERSALS = [
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%252e%252e",
    "..%5c..%5cwindows",
    "uk%00",
    "uk%23",
    "uk%0d%0aSet-Cookie:a",
    "%c0%ae%c0%ae",
    "%ef%bc%8e%ef%bc%8e",
    "CON",
    "UK",
    "uk%20",
    "uk.",
    "file:%2f%2f%2fetc",
    "%F0%9F%92%A9",
    "a" * 4000,
    "%",
    "%zz",
    "",
]


def post(app, content, path=LISTS, **headers):
    headers = {"content-type": "application/json", **headers}
    return call(app, "POST", path, content=content, headers=headers)


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_market_is_looked_up_and_never_a_path(shared, name):
    for path in ("", "/users/u/recommendations", "/items/i/similar"):
        answer = call(shared.public, "GET", f"/v1/markets/{name}{path}")
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["code"] in ("bad_path", "unknown_market", "not_found")
    answer = call(shared.public, "POST", f"/v1/markets/{name}/recommendations", json={})
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": 1001}, "k"),
        ({"k": 10**30}, "k"),
        ({"k": "5"}, "k"),
        ({"k": 5.5}, "k"),
        ({"k": True}, "k"),
        ({"k": None}, "k"),
        ({"n": 5}, "n"),
        ({"user": 5}, "user"),
        ({"user": "u" * 1025}, "user"),
        ({"history": "item"}, "history"),
        ({"history": [None]}, "history.0"),
        ({"history": ["i"] * 1001}, "history"),
        ({"exclude": ["i"] * 10_001}, "exclude"),
        ({"include": ["i"] * 10_001}, "include"),
        ({"include": ["i", ["j"]]}, "include.1"),
        ({"explain": "yes"}, "explain"),
        ({"include_seen": 1}, "include_seen"),
        ([], "body"),
        (None, "body"),
        ("text", "body"),
    ],
)
def test_wrong_fields_are_named(shared, body, field):
    found = problem(post(shared.public, json.dumps(body)), 422, "invalid")
    assert found["errors"][0]["field"] == field
    assert found["detail"].startswith(field)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{'k': 5}",
        b'{"k": NaN}',
        b'{"k": Infinity}',
        b'{"k": 5, "k": 6}',
        b'{"k": 5} {}',
        b"\xff\xfe{\x00}\x00",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"k": ' + b"9" * 5000 + b"}",
        b"\x00",
    ],
)
def test_what_is_no_json_is_refused(shared, content):
    problem(post(shared.public, content), 400, "bad_json")


def test_half_a_surrogate_is_no_text(shared):
    answer = post(shared.public, b'{"user": "\\ud800", "history": ["\\udfff"]}')
    assert answer.status_code in (400, 422), answer.text


def test_a_whole_number_may_be_written_as_json_allows(shared):
    assert post(shared.public, b'{"k": 3.0}').content == post(shared.public, b'{"k": 3}').content


def test_a_batch_is_bounded_and_its_fields_are_named(shared):
    path = "/v1/markets/uk/batch"
    for body, field in (
        ({"requests": []}, "requests"),
        ({"requests": [{}] * 101}, "requests"),
        ({"requests": [{}, {"k": 0}]}, "requests.1.k"),
        ({}, "requests"),
    ):
        found = problem(post(shared.public, json.dumps(body), path), 422, "invalid")
        assert found["errors"][0]["field"] == field


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("k=0", 422),
        ("k=1001", 422),
        ("k=-1", 422),
        ("k=1e2", 422),
        ("k=", 422),
        ("k=%D9%A3", 422),
        ("k=" + "1" * 400, 422),
        ("k=5&k=6", 422),
        ("n=5", 422),
        ("include_seen=1", 422),
        ("include_seen=True", 422),
        ("k", 400),
        ("k=%ff", 400),
        ("&".join(["k=5"] * 40), 400),
    ],
)
def test_queries_are_strict(shared, query, status):
    answer = call(shared.public, "GET", f"/v1/markets/uk/users/u/recommendations?{query}")
    problem(answer, status, "invalid" if status == 422 else "bad_request")


def test_bodies_are_bounded_whether_they_say_so_or_not(shared):
    limit = Limits().body_bytes
    large = b'{"user": "' + b"u" * limit + b'"}'
    problem(post(shared.public, large), 413, "body_too_large")

    async def pieces():
        for _ in range(0, limit + 1, 1 << 16):
            yield b" " * (1 << 16)
        raise AssertionError("read on after the limit")

    problem(post(shared.public, pieces()), 413, "body_too_large")
    answer = post(shared.public, b"{}", **{"content-length": "9" * 30})
    problem(answer, 413, "body_too_large")
    assert answer.headers["connection"] == "close"


def test_only_plain_json_is_read(shared):
    for headers in (
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-encoding": "gzip"},
    ):
        answer = post(shared.public, b"{}", **headers)
        problem(answer, 415, "unsupported_media_type")
    assert post(
        shared.public, b"{}", **{"content-type": "Application/JSON; charset=utf-8"}
    ).is_success


def test_targets_and_heads_are_bounded(shared):
    path = f"/v1/markets/uk/users/{'u' * 8200}/recommendations"
    problem(call(shared.public, "GET", path), 414, "target_too_long")
    headers = {f"x-{number}": "v" * 1000 for number in range(17)}
    problem(call(shared.public, "GET", "/v1/markets", headers=headers), 431, "head_too_large")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "0"])
def test_a_foreign_host_is_refused(shared, host):
    problem(call(shared.public, "GET", "/v1/markets", host=host), 421, "misdirected")


@pytest.mark.parametrize("host", ["localhost:99", "127.0.0.1", "[::1]:8080", "LOCALHOST"])
def test_this_machine_has_several_names(shared, host):
    assert call(shared.public, "GET", "/v1/markets", headers={"host": host}).is_success


def test_a_host_can_be_allowed(make_service):
    service = make_service(allowed_hosts=frozenset({"Shop.Example"}))
    assert call(service.public, "GET", "/v1/markets", host="shop.example").is_success


READ_ADDRESSES = [
    ("GET", "/v1/markets"),
    ("GET", "/v1/markets/uk"),
    ("GET", "/v1/markets/uk/users/u/recommendations"),
    ("POST", LISTS),
    ("POST", "/v1/markets/uk/batch"),
    ("GET", f"/v1/markets/uk/items/{part(ITEMS[0])}/similar"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/nothing"),
]
ADMIN_ADDRESSES = [
    ("PUT", "/admin/markets/uk"),
    ("POST", "/admin/markets/uk/rollback"),
    ("DELETE", "/admin/markets/none"),
    ("GET", "/admin/audit"),
    ("GET", "/v1/markets"),
]


def test_each_key_opens_its_own_addresses_only(service):
    for app, addresses, opening in (
        (service.public, READ_ADDRESSES, READ),
        (service.admin, ADMIN_ADDRESSES, ADMIN),
    ):
        for method, path in addresses:
            for key in (None, READ, ADMIN, "", opening[:-1], opening + "x", opening.upper()):
                answer = call(
                    app, method, path, key=key, **({"json": {}} if method != "GET" else {})
                )
                if key == opening:
                    assert answer.status_code != 401, (method, path)
                else:
                    found = problem(answer, 401, "unauthorised")
                    assert answer.headers["www-authenticate"] == "Bearer"
                    assert opening not in json.dumps(found)
    for scheme in ("Basic", "bearerx", ""):
        headers = {"authorization": f"{scheme} {READ}"}
        answer = call(service.public, "GET", "/v1/markets", key=None, headers=headers)
        problem(answer, 401, "unauthorised")
    # Administration is not there at all on the listener of the service.
    for method, path in ADMIN_ADDRESSES[:-1]:
        assert call(service.public, method, path, key=ADMIN).status_code == 401
        assert call(service.public, method, path, key=READ).status_code == 404


def test_too_many_requests_at_once_are_turned_away_at_once(make_service):
    service = make_service(limits=Limits(in_flight=3))

    async def ask(client, count):
        address = "/v1/markets/uk/users/u/recommendations"
        health = client.get("/livez")
        return await asyncio.gather(*(client.get(address) for _ in range(count)), health)

    async def crowd():
        with client_of(service.public, READ) as client:
            async with client:
                return await ask(client, 30), await ask(client, 3)

    (*many, health), calm = asyncio.run(crowd())
    codes = [answer.status_code for answer in many]
    assert set(codes) == {200, 503}
    assert health.status_code == 200
    for answer in many:
        if answer.status_code == 503:
            problem(answer, 503, "overloaded")
            assert answer.headers["retry-after"] == "1"
    assert [answer.status_code for answer in calm] == [200] * 4


def test_who_was_turned_away_is_not_heard_again_at_once(make_service):
    service = make_service(limits=Limits(in_flight=0))
    messages = []

    async def send(message):
        messages.append((time.monotonic(), message))

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/markets",
        "raw_path": b"/v1/markets",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"authorization", f"Bearer {READ}".encode())],
        "server": ("127.0.0.1", 80),
    }
    start = time.monotonic()
    asyncio.run(service.public(scope, receive, send))
    (head_time, head), (body_time, body), (end_time, end) = messages
    headers = dict(head["headers"])
    assert head["status"] == 503
    assert int(headers[b"content-length"]) == len(body["body"])
    assert json.loads(body["body"])["code"] == "overloaded"
    assert headers[b"cache-control"] == b"no-store"
    # The client has the whole answer at once; the connection goes on when it may ask again.
    assert max(head_time, body_time) - start < 0.5
    assert body["more_body"]
    assert not end.get("more_body") and not end["body"]
    assert end_time - body_time >= int(headers[b"retry-after"]) - 0.05


def test_all_bodies_together_are_bounded(make_service):
    service = make_service(limits=Limits(all_bodies_bytes=100))
    answer = post(service.public, b'{"user": "' + b"u" * 200 + b'"}')
    problem(answer, 503, "overloaded")
    assert post(service.public, b"{}").is_success


def test_what_goes_wrong_inside_stays_inside(make_service, monkeypatch, caplog):
    service = make_service()

    def fail(self, user=None, **request):
        raise RuntimeError(f"secret {user}")

    monkeypatch.setattr("crossmarket.artifact.market.Market.recommend", fail)
    with caplog.at_level("INFO"):
        answer = call(service.public, "GET", "/v1/markets/uk/users/anna/recommendations")
    found = problem(answer, 500, "internal")
    assert "secret" not in json.dumps(found)
    told = [str(one.__dict__) for one in caplog.records if one.name == "crossmarket.serving"]
    assert [text for text in told if "RuntimeError" in text]
    assert "anna" not in str(told)
