"""Versions of a market that a rollback can reach answer too, if they are asked for by name."""

import pytest
from tests.serving.calling import administer, call, problem, swap
from tests.serving.making import FIRST, make, spoil, stock


def ask(service, version, user, market="uk"):
    body = {"user": user, "version": version}
    return call(service.public, "POST", f"/v1/markets/{market}/recommendations", json=body)


def ids(answer):
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def versions(service, market="uk"):
    return call(service.public, "GET", f"/v1/markets/{market}").json()["versions"]


def test_each_version_in_memory_gives_its_own_lists(service, depot):
    made = [make("uk", FIRST)[1], *(stock(depot, "uk", seed) for seed in (2, 3))]
    for one in made[1:]:
        swap(service, "uk", version=one.version)
    for folder in depot.glob("uk-*"):  # what is kept in memory needs no files
        spoil(folder)
    assert versions(service) == [one.version for one in reversed(made)]
    for one in made:
        answer = ask(service, one.version, one.users[0])
        assert answer.json()["version"] == one.version
        assert ids(answer) == one.best(one.users[0])
    user = made[-1].users[0]
    assert ids(ask(service, None, user)) == made[-1].best(user)


def test_versions_that_no_rollback_reaches_are_gone(service, depot):
    made = [make("uk", FIRST)[1], *(stock(depot, "uk", seed) for seed in range(2, 6))]
    for one in made[1:]:
        swap(service, "uk", version=one.version)
    assert versions(service) == [one.version for one in made[:-4:-1]]
    problem(ask(service, made[0].version, "somebody"), 404, "unknown_version")
    administer(service, "POST", "/admin/markets/uk/rollback")
    assert versions(service) == [one.version for one in made[-2:-4:-1]]
    problem(ask(service, made[-1].version, "somebody"), 404, "unknown_version")


def test_a_removed_market_has_no_versions(service, depot):
    new = stock(depot, "uk", 2)
    swap(service, "uk", version=new.version)
    administer(service, "DELETE", "/admin/markets/uk")
    problem(ask(service, new.version, "somebody"), 404, "unknown_market")
    administer(service, "POST", "/admin/markets/uk/rollback")
    assert versions(service) == [new.version, make("uk", FIRST)[1].version]


def test_a_snapshot_stays_what_it_was(service, depot):
    before = service.registry.now
    first = before.market("uk")
    new = stock(depot, "uk", 2)
    swap(service, "uk", version=new.version)
    after = service.registry.now
    assert before.versions("uk") == (first,)
    assert [one.version for one in after.versions("uk")] == [new.version, first.version]
    assert after.market("uk", first.version) is first
    assert after.versions("de") == before.versions("de")


def test_a_service_that_starts_again_knows_what_it_has_loaded(make_service, depot):
    new = stock(depot, "uk", 2)
    swap(make_service(), "uk", version=new.version)
    assert versions(make_service()) == [new.version, make("uk", FIRST)[1].version]


@pytest.mark.parametrize("version", ["", "0" * 63, "A" * 64, 1, ["0" * 64]])
def test_what_is_no_version_is_refused(shared, version):
    problem(ask(shared, version, "somebody"), 422, "invalid")


def test_a_version_of_another_market_is_unknown(shared):
    other = make("de", FIRST)[1].version
    problem(ask(shared, other, "somebody"), 404, "unknown_version")
    body = {"requests": [{"user": "somebody", "version": other}]}
    refused = call(shared.public, "POST", "/v1/markets/uk/batch", json=body)
    problem(refused, 422, "invalid")
