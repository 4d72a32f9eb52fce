"""A page of the package, taken apart."""

import re
from html.parser import HTMLParser

VOID = {"meta", "link", "line", "circle", "rect", "polygon", "input", "br", "img"}


class Page(HTMLParser):
    """Checks that elements nest, and collects tags, texts and attributes."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def assert_alone(text):
    """Check that a page is whole and asks for nothing outside of it; returns it taken apart."""
    page = Page(text)
    assert page.open == []
    markup = re.sub(r'"data:image/png;base64,[^"]*"', "", text.split("<script>")[0])
    assert not re.search(r"(https?:)?//[a-z]", markup)
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []
    for tag, name, value in page.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, value)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = re.findall(r'(?:href="#|url\(#|aria-controls="|aria-labelledby=")([^")]*)', text)
    assert set(links) <= set(ids)
    return page
