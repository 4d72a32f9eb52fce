"""Short names of the systems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossmarket.errors import UsageError
from crossmarket.models.base import Recommender
from crossmarket.models.conet import CoNet
from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.models.ddtcdr import DDTCDR
from crossmarket.models.dtcdr import DTCDR
from crossmarket.models.ease import Ease
from crossmarket.models.fine_tuned import FineTuned
from crossmarket.models.gmf import GMF
from crossmarket.models.item_knn import ItemKNN
from crossmarket.models.lightgcn import LightGCN
from crossmarket.models.mlp import MLP
from crossmarket.models.natr import NATR
from crossmarket.models.nmf import NMF
from crossmarket.models.popularity import DecayedPopularity, Popularity
from crossmarket.training.options import RunOptions

#: Every system by its name.
MODELS: Mapping[str, type[Recommender]] = {
    model.name: model
    for model in (
        DCMPT,
        FineTuned,
        LightGCN,
        Ease,
        ItemKNN,
        Popularity,
        DecayedPopularity,
        GMF,
        MLP,
        NMF,
        CoNet,
        DDTCDR,
        DTCDR,
        NATR,
    )
}


def find_model(name: str) -> type[Recommender]:
    """Return the system of a short name.

    Raises
    ------
    UsageError
        If there is none; the message lists those there are.
    """
    if name not in MODELS:
        raise UsageError(f"there is no model {name!r}; choose from: {', '.join(MODELS)}")
    return MODELS[name]


def build_model(
    name: str,
    preset: str | None = None,
    config: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
) -> Recommender:
    """Build a system by name; the `default` preset where it has one and none is named."""
    model = find_model(name)
    if preset is None and "default" in model.presets:
        preset = "default"
    return model.from_config(config, preset=preset, options=options)
