"""Every one-byte change and every truncation of a small artifact: is all of it refused?

    python benchmarks/artifact_faults.py [--values 255]

With all 255 other values at each of some 10,000 bytes this takes tens of minutes; fewer values are
drawn from the single flipped bits first.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from crossmarket.artifact.artifact import Artifact
from crossmarket.data.accounting import REJECTED_SCHEMA, ReadReport, ReadResult
from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.errors import DataError
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.packaging.package import save_pretrained
from measuring import report

ROWS = [("xx", user, item, 1.0, None) for user in "uvw" for item in "abcd" if user + item != "ud"]


def make(folder: Path) -> Path:
    data = MarketDataset.from_frame(pl.DataFrame(ROWS, schema=SCHEMA, orient="row"))
    read = ReadResult(data, None, ReadReport((), pl.DataFrame(schema=REJECTED_SCHEMA)))
    settings = resolve_settings("ease", None, {}, targets=("xx",), threads=1)
    save_pretrained(Run.create(folder / "run", settings, read), folder / "artifact")
    return folder / "artifact"


def is_sound(path: Path) -> bool:
    try:
        return bool(Artifact.open(path).markets)
    except DataError:
        return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=8, choices=range(1, 256), metavar="1..255")
    values = parser.parse_args().values
    changes = [1 << bit for bit in range(8)] + [x for x in range(1, 256) if x & (x - 1)]
    accepted: list[str] = []
    seconds = []
    tried = {"changed bytes": 0, "truncations": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder))
        assert is_sound(path)
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            content = file.read_bytes()
            with file.open("r+b", buffering=0) as handle:
                for place, byte in enumerate(content):
                    for change in changes[:values]:
                        os.pwrite(handle.fileno(), bytes([byte ^ change]), place)
                        start = time.perf_counter()
                        if is_sound(path):
                            accepted.append(f"{file.name}:{place}:{change}")
                        seconds.append(time.perf_counter() - start)
                        tried["changed bytes"] += 1
                    os.pwrite(handle.fileno(), bytes([byte]), place)
            for length in reversed(range(len(content))):
                os.truncate(file, length)
                if is_sound(path):
                    accepted.append(f"{file.name}[:{length}]")
                tried["truncations"] += 1
            file.write_bytes(content)
        assert is_sound(path)
    report(
        "artifact-faults",
        {
            "tried": tried,
            "accepted": accepted,
            "median milliseconds to refuse": float(np.median(seconds)) * 1e3,
        },
    )


if __name__ == "__main__":
    main()
