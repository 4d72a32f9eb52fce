"""Write the pages, pictures and README sections that come from the code and the results.

`python -m docs.build` writes them, `python -m docs.build --check` exits 1 if one is stale.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from docs.generators import (
    analyses,
    cli,
    configuration,
    floors,
    leaders,
    published,
    results,
    systems,
)
from docs.generators.markdown import replace_section

ROOT = Path(__file__).resolve().parents[1]

#: Tables of the README's results, in the order of their columns; `crossmarket compare` wrote them.
TABLES: tuple[str, ...] = (
    "experiments/results/ratio-full/table.json",
    "experiments/results/time-full/table.json",
)

#: Where the laboratory's results are.
LABORATORY = "experiments/results/laboratory"

#: Blocks of the README's list of leaders, the most telling first.
LEADERS = ("time-full", "ratio-full", "forec", "acmr-market", "acmr-union", "m3rec")

#: Tables of the page on every system.
EVERY_SYSTEM: tuple[str, ...] = (
    f"{LABORATORY}/ratio-full/table.json",
    f"{LABORATORY}/time-full/table.json",
)

#: What `crossmarket reproduce` wrote for each published table.
PUBLISHED = f"{LABORATORY}/published"

#: What `crossmarket analyse leak` wrote, by the data it was run on.
LEAKS = {
    "XMarket": f"{LABORATORY}/analyses/leak.csv",
    "simulated": f"{LABORATORY}/analyses-simulated/leak.csv",
}

#: Blocks of the laboratory with and without companions of the same day.
COMPANIONS = tuple(
    ROOT / LABORATORY / block for block in ("ratio-full", "ratio-full-without-companions")
)


def render() -> dict[Path, str]:
    """Render every generated file: its path and its whole text."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    sections: dict[str, Callable[[], str]] = {
        "results": lambda: results.render([ROOT / name for name in TABLES], ROOT, by_market=False),
        "leaders": lambda: leaders.render(
            [ROOT / LABORATORY / block / "table.json" for block in LEADERS], ROOT
        ),
        "systems": systems.render,
    }
    for name, make in sections.items():
        text = replace_section(text, name, make())
    page = ROOT / "docs" / "every-system.md"
    every = results.render([ROOT / name for name in EVERY_SYSTEM], ROOT, link="../")
    numbers = ROOT / "docs" / "published-numbers.md"
    leaks = published.render_leak({data: ROOT / name for data, name in LEAKS.items()})
    held = numbers.read_text(encoding="utf-8")
    held = replace_section(
        held, "published", published.render(ROOT / PUBLISHED, f"../{PUBLISHED}/")
    )
    held = replace_section(held, "leak", leaks)
    held = replace_section(held, "companions", published.render_companions(*COMPANIONS))
    laboratory = ROOT / "docs" / "laboratory.md"
    listed = replace_section(laboratory.read_text(encoding="utf-8"), "analyses", analyses.render())
    return {
        readme: text,
        laboratory: listed,
        numbers: held,
        page: replace_section(page.read_text(encoding="utf-8"), "results", every),
        ROOT / "docs" / "cli.md": cli.render(),
        ROOT / "docs" / "configuration.md": configuration.render(),
        ROOT / "docs" / "images" / "floors.svg": floors.render(ROOT),
    }


def stale() -> list[Path]:
    """Generated files that are not what the code says now."""
    return [
        path
        for path, text in render().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check; the exit code says whether all is well."""
    parser = argparse.ArgumentParser(prog="python -m docs.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    options = parser.parse_args(arguments)
    try:
        if options.check:
            names = [str(path.relative_to(ROOT)) for path in stale()]
            if names:
                sys.stderr.write(f"stale: {', '.join(names)}; run `make docs`\n")
            return 1 if names else 0
        for path, text in render().items():
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {path.relative_to(ROOT)}\n")
    except results.MissingTableError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
