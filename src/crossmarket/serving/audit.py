"""What administration did, one JSON line each; no user is ever in it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

AUDIT = "audit.jsonl"
_SHOWN = 1000
_TAIL_BYTES = 1 << 20


class Audit:
    """An append-only file and its last entries in memory."""

    def __init__(self, depot: Path) -> None:
        self._path = depot / AUDIT
        # Replaced, never changed: one thread adds while another reads.
        self._last = self._tail()[-_SHOWN:]

    def add(self, action: str, market: str, result: str, **facts: Any) -> dict[str, Any]:
        """Write an entry; durable when this returns."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"time": time, "action": action, "market": market, "result": result, **facts}
        with self._path.open("ab") as handle:
            # The line feed comes first: what a kill cut short spoils no other line.
            handle.write(b"\n" + orjson.dumps(entry))
            handle.flush()
            os.fsync(handle.fileno())
        self._last = [*self._last, entry][-_SHOWN:]
        return entry

    def entries(self) -> list[dict[str, Any]]:
        """The last entries, oldest first."""
        return list(self._last)

    def _tail(self) -> list[dict[str, Any]]:
        if not self._path.is_file():
            return []
        with self._path.open("rb") as handle:
            handle.seek(max(self._path.stat().st_size - _TAIL_BYTES, 0))
            lines = handle.read().split(b"\n")
        found = []
        for line in lines:
            try:
                found.append(orjson.loads(line))
            except orjson.JSONDecodeError:  # cut by the tail, or by a kill
                continue
        return found
