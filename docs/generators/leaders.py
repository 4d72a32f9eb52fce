"""Who leads under each protocol: the laboratory's blocks in a row each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docs.generators.markdown import table
from docs.generators.results import load_table

from crossmarket.experiments.leaderboard.guide import guide_key, protocol_guide

_SHOWN = 3
_METRIC = "ndcg@10"


def render(paths: Sequence[Path], root: Path, *, own: str = "DCMPT") -> str:
    """Render the best of each table, every model by its best row, and the place of one system.

    Parameters
    ----------
    paths : sequence of Path
        Files `table.json`, one a protocol.
    root : Path
        Folder that paths are named from.
    own : str
        Title of the system whose place is told.
    """
    header = ["protocol", "how far to trust it", "first", "second", "third", f"{own}, place"]
    rows = []
    for path in paths:
        found = load_table(path, root)
        label = found["protocol"]
        means = {row["title"]: row["macro"][_METRIC]["mean"] for row in found["systems"]}
        ranked = sorted(means, key=lambda title: (-means[title], title))
        place = f"{means[own]:.3f}, {ranked.index(own) + 1} of {len(ranked)}"
        link = f"[`{label}`]({path.parent.relative_to(root)}/table.md)"
        model_of = {row["title"]: row["model"] for row in found["systems"]}
        best = {model_of[title]: title for title in reversed(ranked)}
        leaders = sorted(best.values(), key=ranked.index)[:_SHOWN]
        cells = [f"{title} {means[title]:.3f}" for title in leaders]
        rows.append([link, protocol_guide()[guide_key(label)]["trust"], *cells, place])
    return "\n".join(table(header, rows))
