"""Every changed byte and every truncation of a small artifact: is all of it refused?

    python benchmarks/artifact_faults.py [--values 255] [--workers 2] [--keep FILE]

At every byte some other values are tried, the single flipped bits first; all 255 of them make
nearly two million cases and take tens of minutes. Each case is opened by the loader that serves,
from a copy in memory (`/dev/shm`) where the system has such a place. With `--keep`, a run that was
interrupted goes on from what the file says was done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.manifest import FileRecord
from crossmarket.data.accounting import REJECTED_SCHEMA, ReadReport, ReadResult
from crossmarket.data.dataset import SCHEMA, MarketDataset
from crossmarket.errors import DataError
from crossmarket.experiments.run import Run, resolve_settings
from crossmarket.files import content_hash
from crossmarket.packaging.package import save_pretrained
from measuring import report

ROWS = [("xx", user, item, 1.0, None) for user in "uvw" for item in "abcd" if user + item != "ud"]
#: What is flipped in a byte: each bit, then everything else.
CHANGES = [1 << bit for bit in range(8)] + [x for x in range(1, 256) if x & (x - 1)]
#: Bytes that one task goes through.
STRETCH = 32
MEMORY = Path("/dev/shm")


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


def change(whole: Path, values: int, task: tuple[str, int, int]) -> dict[str, Any]:
    """Try other values and the end of the file at some bytes of a file, in a copy of one's own."""
    name, start, stop = task
    path = whole.with_name(f"copy-{os.getpid()}")
    if not path.exists():
        shutil.copytree(whole, path)
    file, content, accepted, seconds = path / name, (whole / name).read_bytes(), [], []
    with file.open("r+b", buffering=0) as handle:
        for place, byte in enumerate(content[start:stop], start):
            for difference in CHANGES[:values]:
                os.pwrite(handle.fileno(), bytes([byte ^ difference]), place)
                began = time.perf_counter()
                if is_sound(path):
                    accepted.append(f"{name}:{place}:{difference}")
                seconds.append(time.perf_counter() - began)
            os.pwrite(handle.fileno(), bytes([byte]), place)
    for length in reversed(range(start, stop)):
        os.truncate(file, length)
        if is_sound(path):
            accepted.append(f"{name}[:{length}]")
    file.write_bytes(content)
    return {
        "task": task,
        "changed bytes": len(seconds),
        "truncations": stop - start,
        "accepted": accepted,
        "milliseconds": float(np.median(seconds)) * 1e3,
    }


def kept_results(kept: Path | None, key: str) -> list[dict[str, Any]]:
    """What an earlier run of the same artifact and number of values found; cut lines are left."""
    if kept is None or not kept.exists():
        return []
    lines = [line for line in kept.read_text().splitlines(keepends=True) if line.endswith("\n")]
    found = [json.loads(line) for line in lines]
    if any(one["key"] != key for one in found):
        raise SystemExit(f"{kept} is of another artifact or number of values; name another file")
    kept.write_text("".join(lines))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=8, choices=range(1, 256), metavar="1..255")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where what is done is kept")
    options = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        path = make(Path(folder))
        assert is_sound(path)
        files = {
            str(file.relative_to(path)): file.read_bytes()
            for file in sorted(path.rglob("*"))
            if file.is_file()
        }
        records = {name: FileRecord.of(content).sha256 for name, content in files.items()}
        key = content_hash({"files": records, "values": options.values, "stretch": STRETCH})
        tasks = [
            (name, place, min(place + STRETCH, len(content)))
            for name, content in files.items()
            for place in range(0, len(content), STRETCH)
        ]
        results = kept_results(options.keep, key)
        done = {tuple(one["task"]) for one in results}
        left = [task for task in tasks if task not in done]
        keep = options.keep.open("a") if options.keep else None
        os.environ["POLARS_MAX_THREADS"] = "1"  # of the workers, which start afresh
        with ProcessPoolExecutor(options.workers, get_context("spawn")) as workers:
            for found in workers.map(partial(change, path, options.values), left):
                results.append(found)
                if keep is not None:
                    keep.write(json.dumps({**found, "key": key}) + "\n")
                    keep.flush()
                share = len(results) / len(tasks)
                print(f"\r{share:4.0%} of {found['task'][0]:40}", end="", file=sys.stderr)
        print(file=sys.stderr)
        copies = list(path.parent.glob("copy-*"))
        assert all(map(is_sound, copies)), "a copy was not put back as it was"
    report(
        "artifact-faults",
        {
            "values": options.values,
            "bytes": sum(map(len, files.values())),
            "tried": {
                kind: sum(one[kind] for one in results) for kind in ("changed bytes", "truncations")
            },
            "accepted": [case for one in results for case in one["accepted"]],
            "median milliseconds to refuse": float(
                np.median([one["milliseconds"] for one in results])
            ),
            "seconds": time.monotonic() - start,
            "taken over": len(done),
            "goal": {"accepted": []},
        },
    )


if __name__ == "__main__":
    main()
