"""Counters for Prometheus; labels are markets, routes and classes of status, never an id."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from crossmarket.serving.registry import Registry

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 10.0)


class Metrics:
    """What the service counts."""

    def __init__(self) -> None:
        self._all = CollectorRegistry()
        ProcessCollector(registry=self._all)
        self._requests = Counter(
            "crossmarket_requests",
            "Answered requests.",
            ["market", "route", "status"],
            registry=self._all,
        )
        self._seconds = Histogram(
            "crossmarket_request_seconds",
            "From the head of a request to its answer.",
            ["route"],
            buckets=_BUCKETS,
            registry=self._all,
        )
        self._lists = Counter(
            "crossmarket_lists",
            "Lists by how they were made.",
            ["market", "strategy"],
            registry=self._all,
        )
        self._problems = Counter(
            "crossmarket_problems", "Problems by code.", ["code"], registry=self._all
        )
        self._changes = Counter(
            "crossmarket_changes",
            "Changes of markets by administration.",
            ["action", "result"],
            registry=self._all,
        )
        self._ready = Gauge(
            "crossmarket_market_ready",
            "Whether a market can answer.",
            ["market"],
            registry=self._all,
        )
        self.in_flight = Gauge(
            "crossmarket_requests_in_flight", "Requests being worked on.", registry=self._all
        )
        # Finding a child by its labels takes as long as scoring some hundred items.
        self._request_children: dict[tuple[str, str, int], Counter] = {}
        self._second_children: dict[str, Histogram] = {}
        self._list_children: dict[tuple[str, str], Counter] = {}

    def answered(self, market: str, route: str, status: int, seconds: float) -> None:
        """Count a request; `market` must be empty or one that is served."""
        key = (market, route, status // 100)
        counter = self._request_children.get(key)
        if counter is None:
            counter = self._requests.labels(market, route, f"{status // 100}xx")
            self._request_children[key] = counter
        counter.inc()
        histogram = self._second_children.get(route)
        if histogram is None:
            histogram = self._second_children[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def listed(self, market: str, strategy: str) -> None:
        """Count a list."""
        counter = self._list_children.get((market, strategy))
        if counter is None:
            counter = self._list_children[market, strategy] = self._lists.labels(market, strategy)
        counter.inc()

    def refused(self, code: str) -> None:
        """Count a problem."""
        self._problems.labels(code).inc()

    def changed(self, action: str, result: str) -> None:
        """Count a change of a market."""
        self._changes.labels(action, result).inc()

    def render(self, registry: Registry) -> bytes:
        """The text that Prometheus reads."""
        self._ready.clear()
        now = registry.now
        for names, value in ((now.markets, 1), (now.unavailable, 0)):
            for name in names:
                self._ready.labels(name).set(value)
        return generate_latest(self._all)
