"""Ids, titles and metrics that would run a script if they were taken for markup never do."""

import pytest
from tests.browser import Watched
from tests.serving.calling import live
from tests.serving.exploring import source_of, write
from tests.serving.payloads import payloads
from tests.serving.visiting import VIEWS, show, texts

HOSTILE = payloads(500)
LONG = ["x" * 256, "é" * 128]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """Two markets in which every id, every title and every name of a metric is a payload."""
    place = tmp_path_factory.mktemp("hostile")
    users, items, titles = HOSTILE[:8], HOSTILE, dict(zip(HOSTILE, reversed(HOSTILE), strict=True))
    metrics = {"protocol": HOSTILE[0], "seed": 0, "metrics": dict.fromkeys(HOSTILE[:40], 0.5)}
    metrics["alone"] = metrics["metrics"]
    sources = [source_of("aa", items, users=users, titles=titles, metrics=metrics),
               source_of("bb", items, users=users)]  # fmt: skip
    with live(place / "log", artifact=write(place / "artifact", items, sources)) as service:
        yield service


def test_a_phone_never_scrolls_sideways(visit, hostile):
    watched = visit(hostile, viewport={"width": 390, "height": 844})
    watched.open()
    for view, values in (
        ("lists", {"by": "user", "user": HOSTILE[0], "k": 40}),
        ("lists", {"by": "history", "item": [*LONG, *HOSTILE[:2]]}),
        ("compare", {"by": "history", "item": HOSTILE[:2]}),
        ("similar", {"item": HOSTILE[7], "k": 40}),
        *((name, {}) for name in VIEWS),
    ):
        show(watched, view, **values)
        widths = watched.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1] == 390, (view, widths)


def test_hostile_texts_are_only_texts(visit, hostile):
    watched = visit(hostile)
    watched.open("#<img src=x onerror=window.ran=1>?market=<script>window.ran=1</script>")
    history = {"by": "history", "item": HOSTILE[-3:], "k": 500}
    show(watched, "lists", market="aa", **history)
    assert sorted(texts(watched, ".what > a .id")) == sorted(HOSTILE[:-3])
    assert sorted(texts(watched, ".what > a .title")) == sorted(HOSTILE[3:])
    assert set(texts(watched, ".reasons .id")) == set(HOSTILE[-3:])
    show(watched, "lists", market="bb", by="user", user=HOSTILE[0], seen=True, k=500)
    assert sorted(texts(watched, ".what > a .id")) == sorted(HOSTILE)
    show(watched, "lists", market="aa", by="user", user=HOSTILE[99])
    assert texts(watched, ".note .id") == [HOSTILE[99]]
    show(watched, "compare", left="aa", right="bb", **history)
    assert len(texts(watched, ".sides .what > a .id")) == 2 * 497
    for item in HOSTILE[::250]:
        show(watched, "similar", market="aa", item=item, k=500)
        assert len(texts(watched, ".what > a .id")) == 499
        assert texts(watched, "h2 .id") == [item]
    watched.page.locator(".what > a").first.click()
    watched.settle()
    for name in VIEWS:
        show(watched, name)
    show(watched, "quality")
    assert set(HOSTILE[:40]) <= set(texts(watched, "th"))
    for view, selector in (("similar", "#item"), ("lists", "#history")):
        show(watched, view, by="history")
        for start in ("<", "j"):
            watched.page.fill(selector, "")
            watched.page.type(selector, start)
            watched.page.locator("[role=option]").first.wait_for()
            assert len(texts(watched, "[role=option]")) == 12
            watched.page.locator("[role=option]").last.click()


def test_the_watch_sees_what_a_page_would_do(browser, hostile):
    watched = Watched(browser, hostile.url)
    watched.page.goto(hostile.url)
    code = """(text) => document.body.insertAdjacentHTML("beforeend", text)"""
    for text in (
        "<img src=x onerror=window.ran=1>",
        "<img src=//evil.example/x>",
        "<p style=top:0>",
    ):
        watched.page.evaluate(code, text)
    watched.page.wait_for_timeout(50)
    assert {"script-src-attr", "img-src", "style-src-attr"} <= set(watched.violations())
    assert len(watched.trouble) >= 3
    watched.page.close()
