"""The explorer in a real browser: by keyboard, with a key, through links of colleagues."""

import pytest
from tests.serving.calling import READ, live
from tests.serving.exploring import METRICS, write_usual
from tests.serving.visiting import VIEWS, show, texts


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    place = tmp_path_factory.mktemp("usual")
    with live(place / "log", artifact=write_usual(place / "artifact")) as service:
        yield service


def focus_by_tab(watched, selector, most=60):
    """Press Tab until an element has the focus; each stop on the way must be seen."""
    for _ in range(most):
        watched.page.keyboard.press("Tab")
        focused = watched.page.evaluate(
            """(selector) => { const own = document.activeElement;
            return [own.matches(selector), own === document.body,
                    getComputedStyle(own).outlineStyle]; }""",
            selector,
        )
        if focused[0]:
            assert focused[2] == "solid"
            return
        assert focused[1] or focused[2] == "solid"
    raise AssertionError(f"Tab never comes to {selector}")


def test_every_view_is_reached_and_used_by_keyboard(visit, usual):
    watched = visit(usual)
    watched.open()
    press = watched.page.keyboard.press
    for name, title in VIEWS.items():
        focus_by_tab(watched, f"#view-{name}")
        press("Enter")
        watched.page.locator("h1", has_text=title).wait_for()
        watched.settle()
        current = watched.page.locator("nav [aria-current=page]")
        assert current.text_content() == title
        assert watched.page.evaluate("document.activeElement.id") == f"view-{name}"
        if watched.page.locator("main .scroll").count():
            focus_by_tab(watched, "main .scroll")
        watched.page.locator("#skip").focus()


def test_a_list_by_keyboard_with_suggestions(visit, usual):
    watched = visit(usual)
    watched.open()
    press, write_text = watched.page.keyboard.press, watched.page.keyboard.type
    focus_by_tab(watched, "#market")
    write_text("uk")
    focus_by_tab(watched, "#by-user")
    press("ArrowRight")
    focus_by_tab(watched, "#history")
    write_text("item-0")
    watched.page.wait_for_selector("[role=option]")
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown"):
        press(key)
    chosen = watched.page.get_attribute("#history", "aria-activedescendant")
    assert watched.page.text_content(f"#{chosen}") == "Kettle item-03"
    press("Enter")
    write_text("item-1")
    watched.page.wait_for_selector("[role=option]")
    press("Escape")
    write_text("1")
    assert watched.page.input_value("#history") == "item-03\nitem-11"
    focus_by_tab(watched, "#send")
    press("Enter")
    watched.page.wait_for_selector(".list")
    asked = {"history": ["item-03", "item-11"], "k": 10, "explain": True}
    wanted = watched.page.evaluate(
        """async (body) => (await import("./explorer/api.js")).list("uk", body)""", asked
    )
    ids = [text.partition("\n")[0] for text in texts(watched, ".list > li .what > a .id")]
    assert ids == [item["id"] for item in wanted["items"]]
    assert len(texts(watched, ".reasons li")) == 20
    assert watched.page.text_content("#status") == "10 items, fold-in"
    watched.page.reload()
    watched.settle()
    assert texts(watched, ".list > li .what > a .id") == ids
    focus_by_tab(watched, ".list a")
    press("Enter")
    watched.page.locator("h1", has_text="Similar items").wait_for()
    watched.settle()
    assert ids[0] in watched.page.text_content("h2")
    assert len(texts(watched, ".list > li")) == 10


def test_differences_in_rank_are_marked(visit, usual):
    watched = visit(usual)
    watched.open()
    show(watched, "compare", left="de", right="uk", by="history", item=["item-05"], k=12)
    sides = [watched.page.locator(".sides section").nth(side) for side in (0, 1)]
    first, second = (side.locator(".what > a .id").all_text_contents() for side in sides)
    for place, own in enumerate(second):
        told = sides[1].locator(".list > li").nth(place).locator(".badge").text_content()
        if own not in first:
            assert told == "● new"
        else:
            moved = first.index(own) - place
            arrow = "▲ up" if moved > 0 else "▼ down"
            assert told == (f"{arrow} {abs(moved)}" if moved else "= same")
    gone = [own for own in first if own not in second]
    assert sides[0].locator(".badge").count() == len(gone) > 0
    for own in gone:
        row = sides[0].locator(".list > li", has_text=own)
        assert row.locator(".badge").text_content() == "✕ gone"


def test_what_was_not_measured_is_said(visit, usual):
    watched = visit(usual)
    watched.open("#quality")
    assert METRICS["protocol"] in texts(watched, "td")
    told = " ".join(texts(watched, "main"))
    assert "Not measured: mx." in told
    assert "▲ +0.0500" in told
    assert "▼ −0.250" in told
    assert "Not measured: de." in told


def test_the_key_stays_in_memory_unless_told_otherwise(visit, usual):
    watched = visit(usual, key=None)
    watched.open("#markets")
    page = watched.page
    stored = "sessionStorage.length + localStorage.length"
    page.fill("#key", "not-the-key-at-all-000")
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    assert "does not take this key" in page.text_content("[role=alert]")
    page.fill("#key", READ)
    page.keyboard.press("Enter")
    page.wait_for_selector("table")
    assert page.evaluate(stored) == 0
    page.reload()
    page.wait_for_selector("#key")
    page.fill("#key", READ)
    page.check("#keep")
    page.keyboard.press("Enter")
    page.wait_for_selector("table")
    assert page.evaluate(stored) == 1
    page.reload()
    page.wait_for_selector("table")
    page.click("#forget")
    page.wait_for_selector("#key")
    assert page.evaluate(stored) == 0
    assert not any(READ in url for _, url in watched.asked)


def test_refusals_are_shown_as_their_sentence(visit, usual):
    watched = visit(usual)
    watched.open()
    show(watched, "similar", market="uk", item="nowhere")
    assert texts(watched, "[role=alert]") == ["The market does not sell this item."]
    show(watched, "compare", left="uk", right="de", by="user", user="x" * 1025)
    assert "user" in watched.page.text_content("[role=alert]")


def test_what_is_gone_is_not_replaced_in_silence(visit, usual):
    watched = visit(usual)
    watched.open()
    show(watched, "lists", market="fr", by="user", user="fr-1")
    assert texts(watched, "[role=alert]") == ["Market fr is not served; choose another one."]
    assert texts(watched, ".list") == []
    show(watched, "compare", left="de", **{"left-version": "0" * 64}, by="user", user="de-1")
    assert texts(watched, "[role=alert]") == ["No such version of the market is in memory."]


def test_histories_are_typed_as_they_are_read(visit, usual):
    watched = visit(usual)
    watched.open()
    code = """async (ids) => { const own = await import("./explorer/ids.js");
        return own.parse(own.format(ids)); }"""
    for ids in (["a", "b"], ["a,b", 'say "x"', " c"], ['"', "é,"], ['""', "\t"], []):
        assert watched.page.evaluate(code, ids) == ids
    watched.page.check("#by-history")
    watched.page.fill("#history", ' item-01 ,, item-02\n\n"item-03","a,b"\n item-01')
    watched.page.click("#send")
    watched.page.locator(".list").wait_for()
    assert watched.page.input_value("#history") == 'item-01\nitem-02\nitem-03\n"a,b"'
    assert texts(watched, ".note .id") == ["a,b"]
