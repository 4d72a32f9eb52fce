"""Files of the page, and what each protocol means in plain words."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import yaml

ASSETS = resources.files("crossmarket.experiments.leaderboard") / "assets"


@cache
def protocol_guide() -> dict[str, dict[str, Any]]:
    """Plain words for each protocol by its name, the most telling first."""
    text = (ASSETS / "protocols.yaml").read_text(encoding="utf-8")
    guide: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return guide


def base_name(label: str) -> str:
    """Name of a protocol without its options."""
    return label.partition(",")[0]


def guide_key(label: str) -> str:
    """Key of a protocol in the guide and in `KINDS`; launches share one."""
    name = base_name(label)
    return "launch@f" if name.startswith("launch@") else name


def trust(label: str) -> tuple[int, str]:
    """Sort key of protocols: the most telling first, unknown ones last."""
    names, key = list(protocol_guide()), guide_key(label)
    return (names.index(key) if key in names else len(names), label)
