"""Tune many systems into a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from crossmarket.data.readers import ReadResult
from crossmarket.errors import UsageError
from crossmarket.experiments.locking import locked
from crossmarket.experiments.systems import find_start
from crossmarket.experiments.tuning.bench import Bench
from crossmarket.experiments.tuning.plan import TuningPlan
from crossmarket.experiments.tuning.search import Report, Search
from crossmarket.files import remove_temporaries, write_text


def tune(
    plan: TuningPlan,
    folder: Path,
    data: ReadResult,
    *,
    only: Sequence[str] = (),
    progress: bool = False,
    report: Report = lambda title, trial: None,
) -> list[dict[str, Any]]:
    """Search the settings of each system; what an earlier call finished is kept.

    Each trial fits a system for every target and is worth the mean over targets of NDCG@10 on
    the validation part, training interactions masked, as early stopping looks at it. Neither a
    last fit on validation nor the test part is ever involved. A trial is recorded when it has
    ended; one that was killed is done again from its start. Until its system is done, a trial
    can take over the trained stages of the first one where its settings agree; its own are
    removed with it, so that the stages of two trials are the most there are on disk.

    Parameters
    ----------
    plan : TuningPlan
        Systems, budget, data and protocol.
    folder : Path
        Gets a JSON file for each system, and `tuned.yaml`: the systems that are done with the
        settings found, as an experiment takes them.
    data : ReadResult
        The plan's data.
    only : sequence of str
        Titles of the plan's systems to tune now; all by default.
    progress : bool
        Show progress bars on a terminal.
    report : callable
        Is told the title of a system and the record of each trial that ends.

    Returns
    -------
    The records of the systems, as their files hold them.

    Raises
    ------
    UsageError
        For a title that the plan has not, or a folder of another plan, data or version.
    DataError
        If a target has no user with both training and validation interactions.
    """
    for title in only:
        if title not in plan.systems:
            known = ", ".join(plan.systems)
            raise UsageError(f"the plan does not tune {title!r}; choose from: {known}")
    with locked(folder):
        remove_temporaries(folder)
        bench = Bench(plan, data, progress)
        searches = [Search(bench, find_start(title), folder) for title in plan.systems]
        for search in searches:
            if not only or search.system.title in only:
                search.run(report)
                _write_tuned(plan, folder, searches)
        chosen = [search for search in searches if not only or search.system.title in only]
        return [search.record for search in chosen]


def _write_tuned(plan: TuningPlan, folder: Path, searches: Sequence[Search]) -> None:
    """Write the systems that are done, as an experiment takes them."""
    done = [search.tuned for search in searches if search.stopped_by]
    systems = [system.model_dump(mode="json", exclude_defaults=True) for system in done if system]
    lines = [
        f"# {plan.name}: the best on validation of at most {plan.trials} trials or "
        f"{plan.seconds:g} s of CPU time",
        f"# a system, under {plan.protocol.label}, seed {plan.seed}.",
        yaml.safe_dump({"systems": systems}, sort_keys=False, allow_unicode=True),
    ]
    write_text(folder / "tuned.yaml", "\n".join(lines))
