"""What systems cost in one market, and what they give for it (DCMPT, Table 3 and Fig. 1b).

A stage that is in the folder already is not trained again: its epochs count with the seconds that
were written down when it was trained. Whatever runs here is measured in this process.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossmarket.analysis.base import Analysis, Setting
from crossmarket.analysis.cost_pictures import draw_costs, draw_updated
from crossmarket.analysis.fitted import fit_system, remembered
from crossmarket.analysis.progress import tracked
from crossmarket.data.splits import Split
from crossmarket.experiments.systems import SystemConfig
from crossmarket.files import read_json

_SCHEMA = {
    "system": pl.String,
    "market": pl.String,
    "seed": pl.Int64,
    "trainable": pl.Int64,
    "stages": pl.Int64,
    "stages_read": pl.Int64,
    "epochs": pl.Int64,
    "seconds_per_epoch": pl.Float64,
    "seconds": pl.Float64,
    "market_seconds": pl.Float64,
    "peak_gb": pl.Float64,
    "ndcg@10": pl.Float64,
    "recall@10": pl.Float64,
}
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_FAVOURITE = "uk"


def compute(setting: Setting) -> pl.DataFrame:
    """One row a system and seed, in one market: `uk` if it is among them, else the largest.

    `trainable` scalars are adjusted for the market; `stages` trainings lead to the model, of which
    `stages_read` were in the folder. `epochs` and `seconds_per_epoch` (the median, validation
    included) are those of the last stage; both are 0 for systems that only count. `seconds` is
    everything from the data to the fitted model, `market_seconds` the part of it that no other
    market shares. `peak_gb` is the most memory that the process held meanwhile, data and libraries
    included; null where all stages were read or the system does not tell.
    """
    market = chosen_market(setting)
    costs: dict[tuple[str, int], dict[str, Any]] = {}
    for seed in setting.seeds:
        split = setting.protocol.split(setting.data, seed)
        steps = [(f"{system.title}, seed {seed}, {market}", system) for system in setting.systems]
        for system in tracked(setting, steps):
            measure = partial(_measure, setting, system, split, market)
            costs[system.title, seed] = remembered(setting, "costs", system, seed, market, measure)
    records, _ = setting.comparison(markets=[market]).run()
    quality = {(record["title"], record["seed"]): record["markets"][market] for record in records}
    rows = [
        {
            "system": system.title,
            "market": market,
            "seed": seed,
            **costs[system.title, seed],
            **{name: quality[system.title, seed][name] for name in ("ndcg@10", "recall@10")},
        }
        for system in setting.systems
        for seed in setting.seeds
    ]
    return pl.DataFrame(rows, schema=_SCHEMA)


def chosen_market(setting: Setting) -> str:
    """`uk` if it is among the setting's markets, else the one with the most interactions."""
    if _FAVOURITE in setting.markets:
        return _FAVOURITE
    return max(setting.markets, key=lambda name: len(setting.data.dataset.edges(name)))


def _measure(
    setting: Setting, system: SystemConfig, split: Split, market: str
) -> dict[str, float | int | None]:
    """Fit a system and say what that took."""
    before = set((setting.folder / "stages").rglob("stage.json"))
    resettable = _reset_peak()
    started = time.perf_counter()
    model = fit_system(setting, system, split, market)
    here = time.perf_counter() - started
    peak = _peak_gb() if resettable else None
    stages = list(dict.fromkeys(model.options.stages))
    read = [folder for folder in stages if folder / "stage.json" in before]
    earlier = {folder: sum(stage_seconds(folder)) for folder in read}
    shared = [folder for folder in stages if not folder.name.startswith(f"{market}-")]
    total = here + sum(earlier.values())
    last = stage_seconds(stages[-1]) if stages else []
    return {
        "trainable": model.num_trainable(),
        "stages": len(stages),
        "stages_read": len(read),
        "epochs": len(last),
        "seconds_per_epoch": float(np.median(last)) if last else 0.0,
        "seconds": total,
        "market_seconds": max(total - sum(sum(stage_seconds(one)) for one in shared), 0.0),
        "peak_gb": None if stages and len(read) == len(stages) else peak,
    }


def stage_seconds(folder: Path) -> list[float]:
    """Seconds of each epoch of a finished stage, as written down when it was trained.

    Epochs before an interruption were not written down; they count as the mean of the others.
    """
    known: list[float] = read_json(folder / "timing.json")["seconds_per_epoch"]
    epochs: int = read_json(folder / "stage.json")["epochs"]
    missing = epochs - len(known)
    return known + [float(np.mean(known)) if known else 0.0] * missing


def _reset_peak() -> bool:
    """Forget the most memory that this process has held; only Linux can."""
    try:
        _RESET.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def _peak_gb() -> float:
    """Most memory that this process has held since, in GB."""
    lines = _STATUS.read_text(encoding="utf-8").splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024 / 1e9


_SYSTEMS = (
    "Popularity",
    "EASE^R merged",
    "LightGCN merged",
    "Fine-tuned backbone",
    "MAML",
    "FOREC",
    "M3Rec",
    "ACMR",
    "CAT-SR",
    "DCMPT",
)

ANALYSES = (
    Analysis(
        name="costs",
        summary="Updated parameters, time, memory and quality of systems in one market.",
        source="DCMPT, Table 3",
        compute=compute,
        draw=draw_costs,
        systems=_SYSTEMS,
    ),
    Analysis(
        name="updated-parameters",
        summary="Quality against the number of parameters that are adjusted for a market.",
        source="DCMPT, Fig. 1b",
        compute=compute,
        draw=draw_updated,
        systems=_SYSTEMS,
    ),
)
