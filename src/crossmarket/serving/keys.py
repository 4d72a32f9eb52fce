"""Secrets that requests must carry, from a file or the environment."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from crossmarket.errors import UsageError

READ_KEY, ADMIN_KEY = "CROSSMARKET_READ_KEY", "CROSSMARKET_ADMIN_KEY"
#: Keys shorter than this could be guessed.
SHORTEST_KEY = 16
_LONGEST_KEY_FILE = 4096


class Key:
    """A secret that a request must carry; compared in constant time, never shown."""

    def __init__(self, secret: str) -> None:
        self._digest = hashlib.sha256(secret.encode()).digest()

    def __repr__(self) -> str:
        return "Key(...)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and hmac.compare_digest(self._digest, other._digest)

    def __hash__(self) -> int:
        return hash(self._digest)

    def opens(self, secret: bytes) -> bool:
        """Whether a secret is this one."""
        return hmac.compare_digest(self._digest, hashlib.sha256(secret).digest())

    @classmethod
    def find(cls, file: Path | None, variable: str, environment: Mapping[str, str]) -> Self | None:
        """Read a key from a file, else from the environment; None where neither has one.

        Raises
        ------
        UsageError
            If the file cannot be read, or the key is short or not printable ASCII.
        """
        if file is None:
            secret, place = environment.get(variable, ""), variable
            if not secret:
                return None
        else:
            place = str(file)
            try:
                with file.open(encoding="utf-8") as handle:
                    secret = handle.read(_LONGEST_KEY_FILE).strip()
            except (OSError, ValueError) as error:
                raise UsageError(f"cannot read a key from {file}; name a text file") from error
        if len(secret) < SHORTEST_KEY or not all("!" <= letter <= "~" for letter in secret):
            raise UsageError(
                f"the key in {place} must be at least {SHORTEST_KEY} printable ASCII characters "
                "without blanks; make one with `openssl rand -hex 32`"
            )
        return cls(secret)
