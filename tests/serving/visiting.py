"""Going about in the explorer, in a browser."""

#: Views by the part of the address that names them.
VIEWS = {
    "lists": "Lists",
    "compare": "Compare",
    "similar": "Similar items",
    "markets": "Markets",
    "resemblance": "Resemblance",
    "quality": "Quality",
    "prompts": "Prompts",
}


def show(watched, view, **values):
    """Show a view by its address, as a link of a colleague would."""
    watched.page.evaluate(
        """async ([view, values]) => {
            const { go } = await import("./explorer/state.js");
            const once = { once: true };
            const turned = new Promise((done) => addEventListener("hashchange", done, once));
            go(view, values);
            await turned;
        }""",
        [view, values],
    )
    watched.settle()


def texts(watched, selector):
    return watched.page.locator(selector).all_text_contents()
