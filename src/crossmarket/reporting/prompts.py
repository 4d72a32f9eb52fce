"""The prompt banks of DCMPT, one for each market, as points and lengths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from crossmarket.metrics.components import principal_components
from crossmarket.reporting.material import Fitted
from crossmarket.reporting.trainings import Training

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PromptMap:
    """Prompt banks of several markets.

    Attributes
    ----------
    markets : tuple of str
        Markets with a bank.
    points : float64 [markets, 2]
        First two principal components of the banks.
    explained : float64 [2]
        Share of the banks' variance that each component shows; NaN where they do not differ.
    norms : float64 [markets, M]
        Length of each basis prompt.
    cosine : float64 [markets, markets]
        Cosine similarity of the banks; 0 beside a bank that stayed at zero.
    """

    markets: tuple[str, ...]
    points: Floats
    explained: Floats
    norms: Floats
    cosine: Floats


def prompt_map(fitted: Fitted, targets: tuple[str, ...]) -> PromptMap | None:
    """Read the banks that the models of a protocol use; None with fewer than two."""
    banks: dict[str, Floats] = {}
    for market in targets:
        training = _final(fitted, f"{market}-prompts")
        if training is not None:
            tensors = load_file(training.folder / "model.safetensors")
            banks[market] = tensors["basis"].astype(np.float64)
    if len(banks) < 2:
        return None
    flat = np.stack([bank.ravel() for bank in banks.values()])
    points, explained = principal_components(flat)
    lengths = np.linalg.norm(flat, axis=1)
    directions = flat / np.where(lengths > 0, lengths, 1)[:, None]
    cosine = directions @ directions.T
    np.fill_diagonal(cosine, 1.0)
    norms = np.stack([np.linalg.norm(bank, axis=1) for bank in banks.values()])
    return PromptMap(tuple(banks), points, explained, norms, cosine)


def _final(fitted: Fitted, kind: str) -> Training | None:
    """The stage of that kind in use; a refitted one was trained without validation."""
    found = [one for one in fitted.trainings if one.kind == kind]
    return min(found, key=lambda one: one.validated == fitted.protocol.refit, default=None)
