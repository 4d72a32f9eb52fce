"""Where the public data live; needed by some tests, never by the package."""

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """Folder of a public data set; on CI its absence is a failure, elsewhere a skip."""
    folder = SHARED / name
    if not folder.is_dir():
        message = f"the public data set {name!r} is not at {folder}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return folder
