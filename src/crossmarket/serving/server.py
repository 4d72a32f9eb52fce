"""Running the service in one process until it is told to stop."""

from __future__ import annotations

import ctypes.util
import gc
import signal
import socket
import sys
from collections.abc import Callable
from functools import cache

import uvicorn
from threadpoolctl import threadpool_limits

from crossmarket.errors import UsageError
from crossmarket.serving.logs import configure_logs, log
from crossmarket.serving.protocol import guarded_protocol
from crossmarket.serving.service import Service
from crossmarket.serving.settings import Settings

_BACKLOG = 2048
#: Connections that are let in per turn of the event loop. It lets in one for each listening socket
#: it is given; when turns are long, new clients would otherwise wait for many of them.
_LET_IN = 8
#: Bytes that the kernel keeps of what a client does not read; left alone, it takes megabytes.
_SEND_BUFFER = 1 << 17
#: Objects made between two searches for garbage, and how many of these until the next older
#: generation, which holds what every connection needs, is searched, too.
_GARBAGE = (5_000, 200, 20)
#: Blocks of so many bytes go back to the system when they are freed: tables of a market, not the
#: arrays of a request. The number names this option of `mallopt`.
_LARGE, _MMAP_THRESHOLD = 1 << 20, -3
#: Seconds after which a thread that loads a market lets the event loop go on.
_TURN = 0.0005


def run(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end.

    Parameters
    ----------
    settings : Settings
        How to serve.
    say : callable
        Takes a line for people: where the service listens.

    Raises
    ------
    UsageError, DataError
        As `Service`; and if a port is taken.
    """
    configure_logs()
    _libc("mallopt", _MMAP_THRESHOLD, _LARGE)
    sys.setswitchinterval(_TURN)
    # One request has one core; with another number of threads scores are rounded otherwise.
    threadpool_limits(1, user_api="blas")
    service = Service(settings)
    ports = [settings.port] + ([] if settings.admin_port is None else [settings.admin_port])
    sockets = [_listen(settings.host, port) for port in ports]
    if settings.admin_port is not None:
        service.admin_port = sockets[1].getsockname()[1]
    limits = settings.limits
    server = uvicorn.Server(
        uvicorn.Config(
            service,
            http=guarded_protocol(limits),
            loop="auto",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=limits.idle_seconds,
            timeout_graceful_shutdown=limits.drain_seconds,
        )
    )
    now = service.registry.now
    for name, reason in now.unavailable.items():
        log("market_unavailable", market=name, reason=reason)
    log("start", markets=list(now.markets), unavailable=list(now.unavailable))
    for title, listener in zip(("serving", "administration"), sockets, strict=False):
        say(f"{title} on http://{_shown(listener)}")
    # The server raises the signal once more when it has stopped; that ends nothing then.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # Modules and markets stay; searching them for garbage would stop all answers for 50 ms, and
    # what many slow clients hold for longer: what is old is searched seldom.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    _libc("malloc_trim", 0)  # what loading needed for a moment
    try:
        server.run(sockets=[one for own in sockets for one in (own, *_copies(own))])
    finally:
        service.close()
        log("stop")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(f"cannot listen on {host}:{port} ({error.strerror})") from error
    # Connections have it from the socket that accepts them.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    return listener


def _libc(name: str, *values: int) -> None:
    """Call a function that glibc has; other C libraries keep less memory for themselves."""
    function = getattr(_c_library(), name, None)
    if function is not None:
        function(*values)


@cache  # looking for it starts a process
def _c_library() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("c")
    return ctypes.CDLL(name) if name else None


def _copies(listener: socket.socket) -> list[socket.socket]:
    return [listener.dup() for _ in range(_LET_IN - 1)]


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
