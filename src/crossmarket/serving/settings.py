"""What a service is started with, and the limits that keep one request from hurting others."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from crossmarket.errors import UsageError
from crossmarket.serving.keys import ADMIN_KEY, READ_KEY, Key

_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Limits:
    """Bounds of what is accepted.

    Attributes
    ----------
    in_flight : int
        Requests worked on at the same time; more are turned away at once.
    connections : int
        Open connections; more are closed before a byte of them is read.
    target_bytes, head_bytes, body_bytes, all_bodies_bytes : int
        Size of a request's target, of its head, of its body, of all bodies that are being read.
    k, ids, history, batch : int
        Length of a list, of `include` and `exclude`, of a history; requests in a batch.
    id_characters : int
        Length of an id.
    short_list : int
        Longer lists wait in a line of their own, so that others need not wait for them.
    inline_history : int
        Longer histories are scored beside the event loop, for the same reason.
    head_seconds, body_seconds, write_seconds, idle_seconds, drain_seconds : int
        For a head to arrive, for a body, for a client to read; of silence between two requests;
        for requests to end when the service stops.
    kept_versions : int
        Versions of a market before its current one that stay in memory.
    """

    in_flight: int = 128
    connections: int = 4096
    target_bytes: int = 8 << 10
    head_bytes: int = 16 << 10
    body_bytes: int = 2 << 20
    all_bodies_bytes: int = 64 << 20
    k: int = 1000
    ids: int = 10_000
    history: int = 1000
    batch: int = 100
    id_characters: int = 1024
    short_list: int = 100
    inline_history: int = 64
    head_seconds: int = 5
    body_seconds: int = 10
    write_seconds: int = 15
    idle_seconds: int = 15
    drain_seconds: int = 10
    kept_versions: int = 2


@dataclass(frozen=True)
class Settings:
    """How a service is started.

    Attributes
    ----------
    artifact : Path
        What it serves; only read.
    host : str
        Address to listen on, of both listeners.
    port, admin_port : int, int or None
        Ports of the service and of its administration; 0 takes a free one, None means none.
    depot : Path or None
        Folder with the market folders that may be swapped in, and the service's own state.
    read_key, admin_key : Key or None
        What requests to the service and to its administration must carry.
    allowed_hosts : frozenset of str
        Names, besides those of this machine and `host`, by which clients may call it.
    access_log : bool
        Log every answered request, without its ids.
    limits : Limits
        Bounds of what is accepted.
    """

    artifact: Path
    host: str = "127.0.0.1"
    port: int = 8080
    admin_port: int | None = None
    depot: Path | None = None
    read_key: Key | None = None
    admin_key: Key | None = None
    allowed_hosts: frozenset[str] = frozenset()
    access_log: bool = False
    limits: Limits = field(default_factory=Limits)

    @classmethod
    def make(
        cls,
        artifact: Path,
        *,
        read_key_file: Path | None = None,
        admin_key_file: Path | None = None,
        environment: Mapping[str, str] = os.environ,
        **values: object,
    ) -> Self:
        """Settings with the keys that files or the environment hold, checked.

        Raises
        ------
        UsageError
            If they would leave the service open, or do not fit each other.
        """
        settings = cls(
            artifact,
            read_key=Key.find(read_key_file, READ_KEY, environment),
            admin_key=Key.find(admin_key_file, ADMIN_KEY, environment),
            **values,  # type: ignore[arg-type]  # the fields of this very class
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Refuse what would leave the service open.

        Raises
        ------
        UsageError
            If another machine could reach it without a key, or administration lacks something.
        """
        if not _is_loopback(self.host) and self.read_key is None:
            raise UsageError(
                f"--host {self.host} lets other machines in; give a read key in {READ_KEY} or "
                "--read-key-file, or stay on 127.0.0.1"
            )
        if self.admin_port is None:
            return
        if self.admin_key is None:
            raise UsageError(
                f"administration needs a key; give one in {ADMIN_KEY} or --admin-key-file"
            )
        if self.admin_key == self.read_key:
            raise UsageError("the read key and the admin key are the same; give two keys")
        if self.depot is None:
            raise UsageError("administration needs --depot, the folder to swap markets in from")
        if self.admin_port and self.admin_port == self.port:
            raise UsageError("--port and --admin-port are the same; give two ports")

    @property
    def hosts(self) -> frozenset[str]:
        """Lower-case names by which clients may call the service."""
        named = {name.lower().strip("[]") for name in (*self.allowed_hosts, self.host)}
        return frozenset(named - _EVERYWHERE | _LOCAL_NAMES)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
