"""The service as two ASGI applications, one for each listener."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from starlette.types import Receive, Scope, Send

from crossmarket.artifact.artifact import Artifact
from crossmarket.serving.admin import Admin
from crossmarket.serving.answering import Answering
from crossmarket.serving.audit import Audit
from crossmarket.serving.depot import Depot
from crossmarket.serving.explorer import KEYLESS, Explorer
from crossmarket.serving.gate import Gate
from crossmarket.serving.load import Load
from crossmarket.serving.metrics import Metrics
from crossmarket.serving.public import Public
from crossmarket.serving.registry import Registry
from crossmarket.serving.settings import Settings


class Service:
    """Everything that a running service holds.

    Parameters
    ----------
    settings : Settings
        How it is started.

    Attributes
    ----------
    registry : Registry
        The markets.
    public : Gate
        Application of the service.
    admin : Gate or None
        Application of administration, where it has a listener.

    Raises
    ------
    DataError
        If the manifest or the backbone of the artifact is damaged, or the depot's state is.
    UsageError
        If the settings would leave the service open, or the depot is no folder.
    """

    def __init__(self, settings: Settings) -> None:
        settings.check()
        limits = settings.limits
        depot = None if settings.depot is None else Depot(settings.depot)
        self.registry = Registry(Artifact.open(settings.artifact), depot, limits.kept_versions)
        self._slow = ThreadPoolExecutor(1, "expensive-answers")
        self._changes = ThreadPoolExecutor(1, "changes")
        metrics = Metrics()
        load = Load(limits, metrics)
        shared = (settings.hosts, limits, load, metrics, self.registry)
        log = settings.access_log
        answering = Answering(self._slow, limits.inline_history)
        public = Public(self.registry, answering, metrics, load, limits)
        explorer = Explorer(self.registry, self._slow, load, limits)
        self.public = Gate(
            [*public.routes(), *explorer.routes()],
            settings.read_key,
            *shared,
            access_log=log,
            keyless=KEYLESS,
        )
        self.admin: Gate | None = None
        self.admin_port: int | None = None
        if depot is not None and settings.admin_key is not None:
            audit = Audit(depot.path)
            admin = Admin(self.registry, audit, metrics, load, limits, self._changes)
            self.admin = Gate(admin.routes(), settings.admin_key, *shared, access_log=log)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the listener that a request came through; it cannot choose another."""
        if self.admin is not None and scope["server"][1] == self.admin_port:
            await self.admin(scope, receive, send)
        else:
            await self.public(scope, receive, send)

    def close(self) -> None:
        """End the threads."""
        self._slow.shutdown()
        self._changes.shutdown()
