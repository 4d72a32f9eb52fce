"""Presets, and parts of them, that several systems share."""

from __future__ import annotations

from typing import Any

#: Tables trained by sampled softmax on cosine similarity; chosen on validation only.
SOFTMAX_TABLES: dict[str, Any] = {
    "loss": "softmax",
    "similarity": "cosine",
    "temperature": 0.1,
    "num_negatives": 512,
    "learning_rate": 1e-2,
    "batch_size": 4096,
    "epochs": 60,
}

#: Presets of a system that papers run on the target alone and, as "++", on all markets.
SINGLE_AND_MERGED = {"single": {"markets": "target"}, "++": {"markets": "merged"}}
