"""Count what the built-in systems train, for `src/crossmarket/models/parameters.json`.

`python -m docs.parameters` counts every system, `python -m docs.parameters NAME ...` these only.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from crossmarket.cli.commands import parse_settings
from crossmarket.data.dataset import MarketDataset
from crossmarket.data.readers import read_data
from crossmarket.data.splits import ratio_split
from crossmarket.files import read_json, write_json
from crossmarket.models.base import Recommender
from crossmarket.models.facts import settings
from crossmarket.models.registry import MODELS, build_model
from crossmarket.training.options import RunOptions

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "src" / "crossmarket" / "models" / "parameters.json"
XMARKET = ROOT.parent / "shared" / "data" / "xmarket"
TARGET, SEED = "uk", 0


def training_part(data: Path = XMARKET) -> MarketDataset:
    """Training interactions of all XMarket markets under `ratio-full`."""
    return ratio_split(read_data(data).dataset, seed=SEED).train


def count(name: str, train: MarketDataset) -> int:
    """Trainable scalars of a system under its default settings; nothing is trained for it."""
    options = RunOptions(seed=SEED, threads=1)
    return _untrained(name, options).fit(train, target=TARGET).num_trainable()


def _untrained(name: str, options: RunOptions) -> Recommender:
    fields = [setting.field for setting in settings(build_model(name).config)]
    epochs = [f"{field}=0" for field in fields if field.endswith("epochs")]
    return build_model(name, config=parse_settings(epochs), options=options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and write."""
    parser = argparse.ArgumentParser(prog="python -m docs.parameters", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="systems to count; all if none")
    parser.add_argument("--data", type=Path, default=XMARKET, help="folder of the XMarket files")
    options = parser.parse_args(arguments)
    train = training_part(options.data)
    before = read_json(FILE)["trainable"] if options.names and FILE.is_file() else {}
    counted = {}
    for name in options.names or MODELS:
        counted[name] = count(name, train)
        sys.stdout.write(f"{name}: {counted[name]:,}\n")
    found = before | counted
    facts = {"data": train.fingerprint, "target": TARGET, "protocol": "ratio-full", "seed": SEED}
    write_json(
        FILE, {**facts, "trainable": {name: found[name] for name in MODELS if name in found}}
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
