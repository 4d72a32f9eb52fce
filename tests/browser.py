"""A real browser without a screen, and what a page did in it."""

import shutil
from contextlib import contextmanager

import pytest

_WATCH = """
window.seen = [];
addEventListener("securitypolicyviolation", (event) => window.seen.push(event.violatedDirective));
"""


@contextmanager
def chromium():
    """A headless Chromium; tests that need one are skipped where it is not installed."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        program = shutil.which("chromium")
        if program is None:
            pytest.skip("no Chromium here; install the system's package `chromium`")
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """A page of a browser; all that it asks for, says or breaks is written down.

    Attributes
    ----------
    page : playwright Page
        To work with.
    asked : list of (method, url)
        Every request.
    trouble : list of str
        Dialogs, errors of scripts, warnings and errors of the console.
    """

    def __init__(self, browser, base, **options):
        self.base, self.asked, self.trouble = base, [], []
        self.page = browser.new_page(**options)
        self.page.set_default_timeout(10_000)
        self.page.add_init_script(_WATCH)
        self.page.on("request", lambda request: self.asked.append((request.method, request.url)))
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("popup", lambda page: self.trouble.append(f"window: {page.url}"))
        self.page.on("console", self._console)

    def _dialog(self, dialog):
        self.trouble.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message):
        # A refusal of the service is an answer to the page.
        if message.type in ("warning", "error") and "the server responded with" not in message.text:
            self.trouble.append(f"console: {message.text}")

    def open(self, fragment=""):
        """Show an address of the page and wait until all of it is there."""
        self.page.goto(f"{self.base}/{fragment}")
        self.settle()

    def settle(self):
        """Wait until the page asks for nothing more."""
        # By selectors: functions to wait for would have to be evaluated, which pages forbid.
        self.page.locator("h1").wait_for()
        self.page.locator("[aria-busy]").first.wait_for(state="detached")

    def violations(self):
        """What the policy of the page forbade."""
        return self.page.evaluate("window.seen")
