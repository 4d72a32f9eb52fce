"""The server's HTTP protocol with time limits and sizes that it does not have itself."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from crossmarket.serving.settings import Limits

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)


def guarded_protocol(limits: Limits) -> type[asyncio.Protocol]:
    """A protocol class that cuts off who sends or reads too slowly, or opens too much.

    A head must arrive within `head_seconds` of its first byte (or of the connection), a body
    within `body_seconds` of its head; a client that does not read is cut off after
    `write_seconds`. The server itself closes connections that stay silent between requests.
    """

    class GuardedProtocol(HttpToolsProtocol):
        def __init__(self, *arguments: Any, **values: Any) -> None:
            super().__init__(*arguments, **values)
            self.reading: asyncio.TimerHandle | None = None
            self.writing: asyncio.TimerHandle | None = None
            self.awaits_head = True
            self.has_moved = False
            self.head_bytes = 0
            self.unanswered: deque[Any] = deque()

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.abort()
                return
            self.wait_for(limits.head_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            self.stop_waiting()
            self.resume_writing()
            # The server tells only the request that came last; an earlier one that is still worked
            # on would write to a closed connection.
            self.pipeline.clear()
            for cycle in self.unanswered:
                cycle.disconnected = True
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            self.has_moved = False
            super().data_received(data)
            if not self.awaits_head or self.has_moved:
                return
            # A head that is still open after what came cannot grow for ever in the parser, and
            # blank lines between two requests do not keep a connection open.
            self.head_bytes += len(data)
            if self.reading is None:
                self.wait_for(limits.head_seconds)
            if self.head_bytes > limits.head_bytes + limits.target_bytes:
                self.stop_waiting()
                if not self.transport.is_closing():
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.move(awaits_head=True)
            self.wait_for(limits.head_seconds)

        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            while self.unanswered and self.unanswered[0].response_complete:
                self.unanswered.popleft()
            self.unanswered.append(self.cycle)
            self.move(awaits_head=False)
            self.wait_for(limits.body_seconds)

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.move(awaits_head=True)
            self.stop_waiting()

        def move(self, *, awaits_head: bool) -> None:
            """A request went on, or a new one began."""
            self.awaits_head, self.has_moved, self.head_bytes = awaits_head, True, 0

        def pause_writing(self) -> None:
            super().pause_writing()
            self.writing = self.loop.call_later(limits.write_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.writing is not None:
                self.writing.cancel()
                self.writing = None

        def wait_for(self, seconds: float) -> None:
            """Close the connection unless the next step of a request comes in time."""
            self.stop_waiting()
            self.reading = self.loop.call_later(seconds, self.transport.close)

        def stop_waiting(self) -> None:
            """The step came."""
            if self.reading is not None:
                self.reading.cancel()
                self.reading = None

    return GuardedProtocol
