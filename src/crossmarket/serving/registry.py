"""Which version of each market is served, and changing it without any request noticing."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

from crossmarket.artifact.artifact import Artifact
from crossmarket.artifact.manifest import FileRecord
from crossmarket.artifact.market import Market
from crossmarket.errors import DataError
from crossmarket.serving.depot import Depot, warm_up
from crossmarket.serving.problems import Problem
from crossmarket.serving.snapshot import Snapshot
from crossmarket.serving.state import Line, State, Version, read_state, write_state


class Registry:
    """The current snapshot and the changes of it, one after the other.

    A change loads, verifies and warms up aside, then writes the state file, then replaces
    `now` in one assignment; whatever fails before leaves all as it was.

    Parameters
    ----------
    artifact : Artifact
        What is served where administration decided nothing else.
    depot : Depot or None
        Where other versions come from; without one, nothing can change.
    kept : int
        Versions of a market before its current one that stay in memory.

    Attributes
    ----------
    now : Snapshot
        What requests are answered from; a request takes it once.
    """

    def __init__(self, artifact: Artifact, depot: Depot | None, kept: int) -> None:
        self._depot, self._kept, self._lock = depot, kept, Lock()
        self._backbone, self._records = artifact.backbone, artifact.manifest.markets
        own = FileRecord.of(artifact.manifest.render()).sha256
        self._state = State(artifact=own) if depot is None else read_state(depot.path, own)
        self._loaded = {(name, market.version): market for name, market in artifact.markets.items()}
        reasons = dict(artifact.unavailable)
        markets, unavailable = {}, {}
        for name in sorted(self._records.keys() | reasons.keys() | self._state.lines.keys()):
            current = self._line(name).current
            if current is None:
                if name not in self._state.lines:  # a folder that no manifest lists
                    unavailable[name] = reasons[name]
                continue
            try:
                markets[name] = self._load(name, current)
            except (DataError, LookupError) as error:
                unavailable[name] = reasons.get(name, str(error))
        for market in markets.values():
            warm_up(market)
        earlier = {name: self._earlier(name, self._line(name)) for name in markets}
        self.now = Snapshot(markets, unavailable, earlier)
        self._forget()

    def swap(self, name: str, folder: str | None, version: str | None) -> dict[str, Any]:
        """Serve a market from a folder of the depot, named or found by its version.

        Returns
        -------
        `version` and `previous` version, each a hash or None, and whether anything `changed`.

        Raises
        ------
        Problem
            If there is no such folder, or it does not pass verification.
        """

        def choose(line: Line) -> Line:
            chosen = self._choose(line, folder, version)
            others = [one for one in line.versions if one.version != chosen.version]
            return Line(versions=(*others, chosen)[-1 - self._kept :])

        return self._change(name, choose)

    def rollback(self, name: str) -> dict[str, Any]:
        """Serve the version before the current one; what `swap` says of it.

        Raises
        ------
        Problem
            If there is none, or it does not pass verification any more.
        """

        def step_back(line: Line) -> Line:
            left = line.versions[:-1] if line.served else line.versions
            if not left:
                raise Problem("nothing_to_roll_back", "No earlier version of it is known.")
            return Line(versions=left)

        return self._change(name, step_back)

    def remove(self, name: str) -> dict[str, Any]:
        """Serve a market no more; `rollback` brings it back."""

        def hide(line: Line) -> Line:
            if not line.served or not line.versions:
                raise Problem("unknown_market", "There is no such market; see /v1/markets.")
            return Line(versions=line.versions, served=False)

        return self._change(name, hide)

    def _change(self, name: str, decide: Callable[[Line], Line]) -> dict[str, Any]:
        assert self._depot is not None  # administration needs one
        with self._lock:
            old = self._line(name)
            new = decide(old)
            before = self.now.markets.get(name)
            after = None if new.current is None else self._verified(name, new.current)
            if new != old or (after is not None) != (before is not None):
                lines = {**self._state.lines, name: new}
                state = self._state.model_copy(update={"lines": lines})
                write_state(self._depot.path, state)
                self._state = state
                self.now = self.now.replace(name, after, self._earlier(name, new))
                self._forget()
            return {
                "version": after and after.version,
                "previous": before and before.version,
                "changed": after is not before,
            }

    def _choose(self, line: Line, folder: str | None, version: str | None) -> Version:
        assert self._depot is not None
        for one in line.versions:
            if folder is None and one.version == version:
                return one
        try:
            if folder is None:
                folder = self._depot.folder_of(str(version))
            found = self._depot.version_of(folder)
        except LookupError as error:
            raise Problem("unknown_folder", "The depot has no such market folder.") from error
        if version not in (None, found):
            raise Problem("refused", "The folder holds another version.")
        for one in line.versions:
            if one.version == found:
                return one
        return Version(version=found, folder=folder)

    def _verified(self, name: str, version: Version) -> Market:
        try:
            market = self._load(name, version)
        except (DataError, LookupError) as error:
            assert self._depot is not None
            reason = str(error).replace(f"{self._depot.path}/", "")
            raise Problem("refused", f"It did not pass verification: {reason}.") from error
        self._loaded[name, version.version] = market
        return market

    def _load(self, name: str, version: Version) -> Market:
        loaded = self._loaded.get((name, version.version))
        if loaded is not None:
            return loaded
        if version.folder is None or self._depot is None:
            raise DataError(f"the artifact does not hold version {version.version[:12]}")
        market = self._depot.load(version.folder, name, self._backbone)
        if market.version != version.version:
            raise DataError(f"{version.folder} does not hold version {version.version[:12]}")
        return market

    def _line(self, name: str) -> Line:
        """The versions of a market: what was decided, else what the artifact holds."""
        if name in self._state.lines:
            return self._state.lines[name]
        record = self._records.get(name)
        return Line(versions=(Version(version=record.sha256, folder=None),) if record else ())

    def _earlier(self, name: str, line: Line) -> tuple[Market, ...]:
        """Versions before a line's last one that are in memory, the latest first."""
        known = (self._loaded.get((name, one.version)) for one in line.versions[-2::-1])
        return tuple(market for market in known if market is not None)

    def _forget(self) -> None:
        """Free versions that no rollback can reach."""
        reachable = {
            (name, one.version)
            for name in self._records.keys() | self._state.lines.keys()
            for one in self._line(name).versions
        }
        self._loaded = {key: one for key, one in self._loaded.items() if key in reachable}
        for name, market in self.now.markets.items():
            self._loaded[name, market.version] = market
