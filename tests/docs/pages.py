"""The pages of the documentation, taken apart: code blocks, command lines, headings, links."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from docs.generators.markdown import anchor

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])

#: First words of lines that are shown, not run.
NOT_RUN = ("make", "git", "pip")

#: A fenced block, and the file it is: a line of nothing but "`pyproject.toml`:" comes before it.
_FENCE = re.compile(r"(?:^`([\w.-]+)`:\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its first line in the page, the file it is."""

    language: str
    text: str
    line: int
    file: str | None


@dataclass(frozen=True)
class Command:
    """A line of a shell block: its words, and the exit code it must have."""

    words: list[str]
    exit_code: int


def name_of(page):
    return str(page.relative_to(ROOT))


def text_of(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    text = text_of(page)
    return [
        Block(match[2], match[3], text.count("\n", 0, match.start(3)) + 1, match[1])
        for match in _FENCE.finditer(text)
    ]


def commands(block):
    """Command lines of a shell block; a comment `# exit N` says which exit code is right."""
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        wanted = re.search(r"# exit (\d+)$", line)
        if words:
            found.append(Command(words, int(wanted[1]) if wanted else 0))
    return found


def anchors(page):
    """Fragments that links to a page may have."""
    prose = _FENCE.sub("", text_of(page))
    return {anchor(title) for title in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def links(page):
    """Targets of the links and pictures of a page."""
    prose = _FENCE.sub("", text_of(page))
    return re.findall(r"\]\(([^)\s]+)\)", prose)
