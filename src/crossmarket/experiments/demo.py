"""The main job on the built-in markets, end to end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import polars as pl

from crossmarket.data.readers import read_data
from crossmarket.data.simulate import SimulationConfig, simulate
from crossmarket.data.store import write_store
from crossmarket.experiments.compare import Comparison
from crossmarket.experiments.experiment import load_experiment
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.experiments.tables import build_table, write_table


@dataclass(frozen=True)
class Demo:
    """What the demo leaves.

    Attributes
    ----------
    table : dict
        Comparison table, as `build_table` makes it.
    lists : dict of market to polars.DataFrame
        Top-10 list of one user of each of two markets.
    places : dict of str to Path
        Where the files are.
    """

    table: dict[str, Any]
    lists: dict[str, pl.DataFrame]
    places: dict[str, Path]


def run_demo(
    out: Path, *, seed: int, threads: int, report: Callable[[str], None] = lambda message: None
) -> Demo:
    """Simulate, fit, compare, recommend; a second call reuses what the first one finished."""
    data_folder, run_folder, comparison_folder = out / "data", out / "run", out / "comparison"
    simulation = simulate(SimulationConfig(seed=seed))
    write_store(simulation.dataset, data_folder)
    data = read_data(data_folder)
    sizes = ", ".join(f"{m} {len(data.dataset.users(m))}" for m in data.dataset.markets)
    report(f"simulated {data.dataset.num_interactions:,} interactions; users: {sizes}")

    settings = resolve_settings(
        "dcmpt", "default", {}, targets=data.dataset.markets, seed=seed, threads=threads
    )
    run = Run.create(run_folder, settings, data)
    report("learning from all markets, adapting to each")
    models = run.fit(settings.protocol, progress=True)
    run.evaluate(settings.protocol, models)

    report("comparing with controls")
    catalogue = resources.files("crossmarket.experiments") / "catalogue" / "demo.yaml"
    with resources.as_file(catalogue) as path:
        experiment = load_experiment(path)
    experiment = experiment.model_copy(update={"seeds": (seed,), "threads": threads})
    stages = run_folder / settings.protocol.fit_label / "stages"
    comparison = Comparison(experiment, comparison_folder, data, progress=True, stages=stages)
    records, per_user = comparison.run()
    table = build_table(experiment, records, per_user)
    paths = write_table(comparison_folder, table, per_user)

    lists = {}
    for market in _largest_and_smallest(data.dataset.markets, table["users"]):
        model = models[market].set_history(data.dataset)
        lists[market] = model.recommend([model.users.ids[0]], k=10)
    places = {"data": data_folder, "run": run_folder, "comparison": paths[0]}
    return Demo(table, lists, places)


def _largest_and_smallest(markets: tuple[str, ...], users: dict[str, int]) -> tuple[str, str]:
    ranked = sorted(markets, key=lambda market: users[market])
    return ranked[-1], ranked[0]
