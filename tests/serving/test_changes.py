"""Markets are swapped, rolled back and removed; whatever fails changes nothing."""

import asyncio
import json
import threading

import pytest
from tests.serving.calling import READ, administer, bearer, call, client_of, part, problem, swap
from tests.serving.making import FIRST, make, spoil, stock

from crossmarket.errors import DataError
from crossmarket.serving.state import STATE


def version_of(service, market="uk"):
    return call(service.public, "GET", f"/v1/markets/{market}").json().get("version")


def test_a_swap_changes_one_market_and_no_other(service, depot):
    new = stock(depot, "uk", 2)
    path = f"/v1/markets/de/users/{part(make('de', FIRST)[1].users[0])}/recommendations"
    before = call(service.public, "GET", path).content
    old = version_of(service)
    done = swap(service, "uk", folder="uk-2")
    assert done.json() == {
        "market": "uk",
        "version": new.version,
        "previous": old,
        "changed": True,
    }
    for user in new.users:
        answer = call(
            service.public, "GET", f"/v1/markets/uk/users/{part(user)}/recommendations"
        ).json()
        assert answer["version"] == new.version
        assert [item["id"] for item in answer["items"]] == new.best(user)
    assert call(service.public, "GET", path).content == before


def test_the_same_version_again_changes_nothing(service, depot):
    new = stock(depot, "uk", 2)
    stock(depot, "uk", 2, "another-name")
    assert swap(service, "uk", version=new.version).json()["changed"]
    state = (depot / STATE).read_bytes()
    snapshot = service.registry.now
    for body in ({"version": new.version}, {"folder": "uk-2"}, {"folder": "another-name"}):
        assert swap(service, "uk", **body).json()["changed"] is False
    assert (depot / STATE).read_bytes() == state
    assert service.registry.now is snapshot


def test_rollback_goes_back_step_by_step_at_once(service, depot):
    versions = [version_of(service)]
    for seed in (2, 3):
        stock(depot, "uk", seed)
        versions.append(swap(service, "uk", folder=f"uk-{seed}").json()["version"])
    for folder in depot.glob("uk-*"):  # what is kept in memory needs no files
        spoil(folder)
    for wanted in (versions[1], versions[0]):
        assert administer(service, "POST", "/admin/markets/uk/rollback").json()["changed"]
        assert version_of(service) == wanted
    last = administer(service, "POST", "/admin/markets/uk/rollback")
    problem(last, 409, "nothing_to_roll_back")
    assert version_of(service) == versions[0]


def test_only_so_many_versions_are_kept(service, depot):
    made = [stock(depot, "uk", seed) for seed in range(2, 7)]
    for one in made:
        swap(service, "uk", version=one.version)
    line = json.loads((depot / STATE).read_text())["lines"]["uk"]["versions"]
    assert [one["version"] for one in line] == [one.version for one in made[-3:]]


def test_a_removed_market_is_gone_until_rollback(service):
    old = version_of(service)
    assert administer(service, "DELETE", "/admin/markets/uk").json()["version"] is None
    problem(call(service.public, "GET", "/v1/markets/uk"), 404, "unknown_market")
    assert "uk" not in call(service.public, "GET", "/readyz").json()["markets"]
    problem(administer(service, "DELETE", "/admin/markets/uk"), 404, "unknown_market")
    assert administer(service, "POST", "/admin/markets/uk/rollback").json()["version"] == old
    assert version_of(service) == old


def test_a_new_market_comes_and_goes(service, depot):
    new = stock(depot, "fr", 1)
    assert swap(service, "fr", folder="fr-1").json()["previous"] is None
    assert version_of(service, "fr") == new.version
    assert administer(service, "DELETE", "/admin/markets/fr").status_code == 200
    problem(call(service.public, "GET", "/v1/markets/fr"), 404, "unknown_market")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"folder": "spoilt"}, 409, "refused"),
        ({"folder": "of-another-market"}, 409, "refused"),
        ({"folder": "linked"}, 404, "unknown_folder"),
        ({"folder": "nowhere"}, 404, "unknown_folder"),
        ({"folder": "state.json"}, 404, "unknown_folder"),
        ({"version": "0" * 64}, 404, "unknown_folder"),
        ({"folder": "good", "version": "0" * 64}, 409, "refused"),
        ({"folder": "../outside"}, 422, "invalid"),
        ({"folder": "/etc"}, 422, "invalid"),
        ({"folder": ".."}, 422, "invalid"),
        ({"folder": "good/"}, 422, "invalid"),
        ({"folder": "http://example.org/uk"}, 422, "invalid"),
        ({"folder": "good\n"}, 422, "invalid"),
        ({"version": "A" * 64}, 422, "invalid"),
        ({"url": "http://example.org"}, 422, "invalid"),
        ({}, 422, "invalid"),
    ],
)
def test_what_is_refused_changes_nothing(service, depot, tmp_path, body, status, code):
    stock(depot, "uk", 3, "good")
    stock(depot, "uk", 2, "spoilt")
    spoil(depot / "spoilt")
    stock(depot, "de", 2, "of-another-market")
    stock(tmp_path, "uk", 2, "outside")
    (depot / "linked").symlink_to(tmp_path / "outside")
    snapshot = service.registry.now
    found = problem(swap(service, "uk", **body), status, code)
    assert str(depot) not in json.dumps(found)
    assert service.registry.now is snapshot
    assert not (depot / STATE).exists()


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e%2fuk", "UK", "u%00k", "-uk", "a" * 33, "ü", "uk%0a"]
)
def test_names_that_no_market_has_are_refused(service, depot, name):
    stock(depot, "uk", 2)
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/rollback")):
        body = {"json": {"folder": "uk-2"}} if method == "PUT" else {}
        answer = administer(service, method, f"/admin/markets/{name}{path}", **body)
        assert answer.status_code in (404, 422), answer.text
    assert service.registry.now.markets.keys() == {"de", "mx", "uk"}


def test_the_state_cannot_be_written_so_the_old_version_stays(service, depot, monkeypatch):
    stock(depot, "uk", 2)
    old = version_of(service)

    def full(depot, state):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("crossmarket.serving.registry.write_state", full)
    problem(swap(service, "uk", folder="uk-2"), 500, "internal")
    assert version_of(service) == old
    monkeypatch.undo()
    assert swap(service, "uk", folder="uk-2").json()["changed"]


def test_the_audit_tells_what_was_done_and_refused(service, make_service, depot):
    stock(depot, "uk", 2)
    swap(service, "uk", folder="uk-2")
    swap(service, "uk", folder="nowhere")
    administer(service, "POST", "/admin/markets/uk/rollback")
    entries = administer(service, "GET", "/admin/audit").json()["entries"]
    told = [(one["action"], one["market"], one["result"]) for one in entries]
    assert told == [
        ("swap", "uk", "done"),
        ("swap", "uk", "unknown_folder"),
        ("rollback", "uk", "done"),
    ]
    with (depot / "audit.jsonl").open("ab") as handle:
        handle.write(b'\n{"cut by a kill')
    assert administer(make_service(), "GET", "/admin/audit").json()["entries"] == entries


def test_a_restart_serves_what_was_decided(service, make_service, depot):
    uk, fr = stock(depot, "uk", 2), stock(depot, "fr", 1)
    swap(service, "uk", folder="uk-2")
    swap(service, "fr", folder="fr-1")
    administer(service, "DELETE", "/admin/markets/mx")
    again = make_service()
    served = {name: market.version for name, market in again.registry.now.markets.items()}
    assert served == {name: market.version for name, market in service.registry.now.markets.items()}
    assert served["uk"] == uk.version
    assert served["fr"] == fr.version
    assert "mx" not in served
    administer(again, "POST", "/admin/markets/uk/rollback")
    assert version_of(again) == make("uk", FIRST)[1].version
    # Without the depot the service is the artifact as it is.
    plain = make_service(depot=None, admin_port=None)
    assert plain.admin is None
    assert plain.registry.now.markets.keys() == {"de", "mx", "uk"}


def test_another_artifact_starts_afresh(service, make_service, depot, tmp_path):
    from tests.artifact.making import write_by_hand

    stock(depot, "uk", 2)
    swap(service, "uk", folder="uk-2")
    other = write_by_hand(tmp_path / "other", ["a", "b"], ["u"], [[0]])
    assert make_service(artifact=other).registry.now.markets.keys() == {"xx"}


def test_a_damaged_version_is_left_out_and_can_be_replaced(service, make_service, depot):
    stock(depot, "uk", 2)
    swap(service, "uk", folder="uk-2")
    spoil(depot / "uk-2")
    again = make_service()
    found = problem(call(again.public, "GET", "/v1/markets/uk"), 503, "market_unavailable")
    assert "uk-2" not in json.dumps(found)
    ready = call(again.public, "GET", "/readyz")
    assert ready.json() == {
        "status": "degraded",
        "markets": {"de": "ready", "mx": "ready", "uk": "unavailable"},
    }
    assert version_of(again, "de") == make("de", FIRST)[1].version
    new = stock(depot, "uk", 3)
    assert swap(again, "uk", folder="uk-3").json()["previous"] is None
    assert version_of(again) == new.version
    assert call(again.public, "GET", "/readyz").json()["status"] == "ready"


def test_a_damaged_state_is_named(service, make_service, depot):
    stock(depot, "uk", 2)
    swap(service, "uk", folder="uk-2")
    for content in (b"", b"{", b"[]", b'{"artifact": 3}', b"\xff"):
        (depot / STATE).write_bytes(content)
        with pytest.raises(DataError, match="remove it to serve the artifact as it is"):
            make_service()


def test_requests_during_swaps_never_fail_and_never_mix_versions(service, depot):
    made = {one.version: one for one in (make("uk", FIRST)[1], stock(depot, "uk", 2))}
    first, second = made
    users = made[first].users
    stop, seen = threading.Event(), []

    def change():
        for round_number in range(12):
            version = second if round_number % 2 == 0 else first
            service.registry.swap("uk", None, version)
        stop.set()

    async def ask():
        with client_of(service.public, READ) as client:
            async with client:
                number = 0
                while not stop.is_set() or number < 50:
                    number += 1
                    some = [users[(number + step) % len(users)] for step in range(4)]
                    body = {"requests": [{"user": user} for user in some]}
                    batch = await client.post("/v1/markets/uk/batch", json=body)
                    assert batch.status_code == 200, batch.text
                    for user, answer in zip(some, batch.json()["answers"], strict=True):
                        assert answer["version"] == batch.json()["version"]
                        one = made[answer["version"]]
                        assert [item["id"] for item in answer["items"]] == one.best(user)
                    seen.append(batch.json()["version"])

    changer = threading.Thread(target=change)
    changer.start()
    asyncio.run(ask())
    changer.join()
    assert set(seen) <= set(made)
    assert version_of(service) == first


def test_two_administrators_at_once_make_one_change(service, depot):
    new = stock(depot, "uk", 2)

    async def both():
        with client_of(service.admin, None) as client:
            async with client:
                client.headers.update(bearer("admin-key-for-tests-0123"))
                ask = [
                    client.put("/admin/markets/uk", json={"version": new.version}) for _ in range(8)
                ]
                return await asyncio.gather(*ask)

    changed = [answer.json()["changed"] for answer in asyncio.run(both())]
    assert sorted(changed) == [False] * 7 + [True]
