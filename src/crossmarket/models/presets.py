"""Settings that several systems share, chosen on validation only."""

from __future__ import annotations

from typing import Any

#: Tables trained by sampled softmax on cosine similarity.
SOFTMAX_TABLES: dict[str, Any] = {
    "loss": "softmax",
    "similarity": "cosine",
    "temperature": 0.1,
    "num_negatives": 512,
    "learning_rate": 1e-2,
    "batch_size": 4096,
    "epochs": 60,
}
