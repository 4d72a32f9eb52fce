"""Takes into the catalogue what `crossmarket tune experiments/laboratory-tuning.yaml` found.

    crossmarket tune experiments/laboratory-tuning.yaml --out FOLDER
    crossmarket tune experiments/laboratory-tuning.yaml --out FOLDER --protocol time-full \
        --markets de,fr,mx,uk
    python experiments/tuned.py

The records of the two searches are in `results/laboratory/tuning-PROTOCOL`. Where a search found
nothing better than where it began, a system keeps that; an ablation, which is not searched, takes
the settings of the first searched system of its model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

import crossmarket
from crossmarket.experiments.systems import starting_systems
from crossmarket.files import read_json, write_text

#: Records by the protocol that they were searched under.
RECORDS = {
    protocol: Path(__file__).parent / "results" / "laboratory" / f"tuning-{protocol}"
    for protocol in ("ratio-full", "time-full")
}
TUNED = Path(crossmarket.__file__).parent / "experiments" / "catalogue" / "tuned.yaml"
HEAD = """\
# Settings that the search of experiments/laboratory-tuning.yaml found better on validation than
# those in systems.yaml, by the protocol searched under; written by experiments/tuned.py.
"""


def main() -> None:
    write_text(TUNED, render())


def render() -> str:
    """The catalogue's file."""
    found = {protocol: settings(folder) for protocol, folder in RECORDS.items()}
    return HEAD + yaml.safe_dump(found, sort_keys=False, allow_unicode=True, width=100)


def settings(folder: Path) -> dict[str, dict[str, Any]]:
    """What was found for each system that does not keep its own, in the catalogue's order."""
    best = {one["title"]: one["best"] for one in map(read_json, folder.glob("*.json"))}
    systems = starting_systems()
    found = {}
    for title, system in systems.items():
        same = (
            known for known in systems if known in best and systems[known].model == system.model
        )
        own = title if title in best else next(same, None)
        if own is not None and best[own]["number"]:
            found[title] = best[own]["settings"]
    return found


if __name__ == "__main__":
    main()
