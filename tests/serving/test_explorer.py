"""The files of the explorer, and the items that it suggests."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.html_page import Page
from tests.serving.calling import READ, call, problem
from tests.serving.exploring import ITEMS, source_of, write, write_usual

from crossmarket.artifact.artifact import Artifact
from crossmarket.serving.explorer import FILES, KEYLESS, starting_with
from crossmarket.serving.keys import Key
from crossmarket.serving.service import Service
from crossmarket.serving.settings import Settings

SOURCE = Path(__file__).resolve().parents[2] / "src" / "crossmarket"
SCRIPTS = {name: text.decode() for name, text in FILES.items() if name.endswith(".js")}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = write_usual(tmp_path_factory.mktemp("explorer") / "artifact")
    made = Service(Settings(folder, read_key=Key(READ)))
    yield made
    made.close()


def test_the_page_is_open_and_forbids_everything_it_does_not_need(service):
    assert {path.name for path in (SOURCE / "serving" / "explorer_page").iterdir()} == set(FILES)
    kinds = {"html": "text/html", "js": "text/javascript", "css": "text/css"}
    for path in KEYLESS:
        answer = call(service.public, "GET", path, key=None)
        assert answer.status_code == 200
        name = path.rpartition("/")[2] or "index.html"
        assert answer.content == FILES[name]
        assert answer.headers["content-type"].startswith(kinds[name.rpartition(".")[2]])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
            "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
    assert call(service.public, "HEAD", "/", key=None).status_code == 200


@pytest.mark.parametrize("name", ["", "nothing.js", "..%2Fgate.py", "%2e%2e/gate.py", "APP.JS"])
def test_no_other_file_is_there(service, name):
    problem(call(service.public, "GET", f"/explorer/{name}"), 404, "not_found")
    problem(call(service.public, "GET", f"/explorer/{name}", key=None), 401, "unauthorised")


def test_another_host_sees_no_page(service):
    problem(call(service.public, "GET", "/", host="evil.example"), 421, "misdirected")


def test_no_text_can_become_markup_or_code():
    page = Page(FILES["index.html"].decode())
    assert page.open == []
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        assert name != "style"
        if name in ("src", "href"):
            assert value.removeprefix("explorer/") in FILES or value == "data:,", (tag, value)
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc|\beval\b|Function\("
    for name, text in SCRIPTS.items():
        assert not re.search(forbidden, text), name
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text), name
        loaded = re.findall(r'^(?:import|\}|  ).*\bfrom "(\S+)";$', text, re.MULTILINE)
        assert len(loaded) == text.count("\nimport ") + text.startswith("import ")
        assert {own.removeprefix("./") for own in loaded} <= set(FILES)
    assert not re.search(r"url\(|@import", FILES["style.css"].decode())


def test_the_colours_are_those_of_the_other_pages():
    shared = (SOURCE / "experiments" / "pages" / "assets" / "base.css").read_text("utf-8")
    colours = shared[: shared.index("* {")].strip()
    assert colours in FILES["style.css"].decode()


def test_suggestions_are_asked_for_with_a_key_and_bounds(service):
    path = "/v1/markets/uk/items"
    problem(call(service.public, "GET", path, key=None), 401, "unauthorised")
    told = call(service.public, "GET", path, params={"prefix": "item-0", "limit": 5}).json()
    assert told["items"] == [
        {"id": "item-00"},
        {"id": "item-01"},
        {"id": "item-02"},
        {"id": "item-03", "title": "Kettle"},
        {"id": "item-04", "title": "Cup & saucer"},
    ]
    assert len(call(service.public, "GET", path).json()["items"]) == 10
    assert call(service.public, "GET", "/v1/markets/mx/items?prefix=item-00").json() == {
        "items": []
    }
    for query in ("limit=0", "limit=51", "limit=x", "prefix=" + "a" * 1025, "user=uk-1"):
        problem(call(service.public, "GET", f"{path}?{query}"), 422, "invalid")
    problem(call(service.public, "GET", "/v1/markets/fr/items"), 404, "unknown_market")


@pytest.fixture(scope="module")
def odd_market(tmp_path_factory):
    items = ["", "a", "aa", "ab", "a\uffff", "a\U0001f600", "b", "é", "é1", "\U0001f600x", *ITEMS]
    folder = tmp_path_factory.mktemp("odd") / "artifact"
    write(folder, items, [source_of("de", items)])
    return Artifact.from_pretrained(folder).market("de")


@settings(max_examples=200)
@given(st.text("abeité-0123\uffff\U0001f600", max_size=6), st.integers(1, 50))
def test_suggestions_are_those_that_brute_force_finds(odd_market, prefix, limit):
    wanted = [own for own in odd_market.vocabulary.ids if own.startswith(prefix)][:limit]
    assert [one["id"] for one in starting_with(odd_market, prefix, limit)] == wanted
