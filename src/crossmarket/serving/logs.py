"""Logs as JSON lines: what happened to which market, never to whom and with which key."""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

LOGGER = logging.getLogger("crossmarket.serving")


def log(event: str, level: int = logging.INFO, **facts: Any) -> None:
    """Write an event with facts that name no user, no item and no key."""
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, event, extra={"facts": facts})


def log_failure(error: BaseException) -> None:
    """Write an unexpected error: its kind and its place, not its text, which may hold an id."""
    frames = traceback.extract_tb(error.__traceback__)
    place = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-5:]]
    log("failure", logging.ERROR, kind=type(error).__name__, place=place)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            # The pattern, not what was put in: a library might put in a piece of a request.
            "event": str(record.msg),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0]:
            values["kind"] = record.exc_info[0].__name__
        return orjson.dumps(values, default=str).decode()


def configure_logs() -> None:
    """Send the service's events and the server's warnings to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    for name, level in (("crossmarket.serving", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
