"""An administrator who changes markets at random and knows what each change must come to."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from service import Server

#: Versions of a market that the service keeps: the current one and two before it.
KEPT = 3


@dataclass
class Line:
    """Versions of a market, oldest first, and whether it is served."""

    versions: list[str] = field(default_factory=list)
    served: bool = True

    @property
    def current(self) -> str | None:
        """What is served."""
        return self.versions[-1] if self.served and self.versions else None


class Administrator:
    """Swaps, removes and rolls markets back through the port of administration.

    Attributes
    ----------
    lines : dict of market to Line
        What must be served now; during a change, what was before it.
    pending : tuple of market and Line, or None
        What a change that is not answered yet will come to.
    absent : dict of market to list of [from, to]
        Moments between which a market may be unknown.
    done : list of tuples
        Every answered change: what, seconds, status.
    """

    def __init__(self, depot: dict[str, list[str]], served: dict[str, str], seed: int) -> None:
        self._depot, self._random = depot, random.Random(seed)
        self.lines = {name: Line([served[name]] if name in served else []) for name in depot}
        self.absent: dict[str, list[list[float]]] = {
            name: [] if line.current else [[0.0, float("inf")]] for name, line in self.lines.items()
        }
        self.pending: tuple[str, Line] | None = None
        self.done: list[tuple[str, float, int]] = []

    def current(self) -> dict[str, str]:
        """Served markets and their versions."""
        return {name: line.current for name, line in self.lines.items() if line.current}

    def change(self, server: Server) -> None:
        """Do anything that may be asked for, and check what is told and then served."""
        name = self._random.choice(list(self._depot))
        action = self._random.choices(["swap", "rollback", "remove"], [6, 3, 1])[0]
        getattr(self, action)(server, name)

    def swap(self, server: Server, name: str, version: str | None = None) -> None:
        """Serve a version that the depot has; any one if none is named."""
        chosen = version or self._random.choice(self._depot[name])
        others = [one for one in self.lines[name].versions if one != chosen]
        after = Line([*others, chosen][-KEPT:])
        path = f"/admin/markets/{name}"
        self._ask(server, "PUT", path, name, after, {"version": chosen})

    def rollback(self, server: Server, name: str) -> None:
        """Serve the version before, if there is one."""
        line = self.lines[name]
        left = line.versions[:-1] if line.served else line.versions
        self._ask(server, "POST", f"/admin/markets/{name}/rollback", name, left and Line(left))

    def remove(self, server: Server, name: str) -> None:
        """Serve it no more, if it is served."""
        line = self.lines[name]
        after = Line(line.versions, served=False) if line.current else None
        self._ask(server, "DELETE", f"/admin/markets/{name}", name, after)

    def _ask(
        self,
        server: Server,
        method: str,
        path: str,
        name: str,
        after: Any,
        body: dict[str, str] | None = None,
    ) -> None:
        before, start = self.lines[name].current, time.monotonic()
        if after:
            self.pending = name, after
            if before and not after.current:
                self.absent[name].append([start, float("inf")])
        status, told = server.call(method, path, body, admin=True)
        self.done.append((method, time.monotonic() - start, status))
        self.pending = None
        if not after:
            assert status in (404, 409), (path, status, told)
            return
        assert status == 200, (path, told)
        assert (told["version"], told["previous"]) == (after.current, before), (path, told)
        self.lines[name] = after
        if after.current and not before:
            self.absent[name][-1][1] = time.monotonic()
        status, now = server.call("GET", f"/v1/markets/{name}")
        assert (now["version"] if status == 200 else None) == after.current, (path, now)

    def settle(self, served: dict[str, str]) -> str:
        """Take in what is served after a kill: `old`, or `new` where a change came through."""
        pending, self.pending = self.pending, None
        if served == self.current():
            return "old"
        assert pending is not None, (served, self.current())
        name, after = pending
        self.lines[name] = after
        assert served == self.current(), (served, self.current())
        return "new"

    def may_be_absent(self, name: str, sent: float, answered: float) -> bool:
        """Whether a market may have been unknown at some moment of a request."""
        return any(start <= answered and sent <= end for start, end in self.absent.get(name, ()))
