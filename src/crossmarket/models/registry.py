"""Short names of the systems: those built in, and those of other packages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from crossmarket.errors import UsageError
from crossmarket.models.acmr.model import ACMR
from crossmarket.models.base import Recommender
from crossmarket.models.bert4rec.model import Bert4Rec
from crossmarket.models.bi_tgcf.model import BiTGCF
from crossmarket.models.cat_sr.model import CatSR
from crossmarket.models.conet import CoNet
from crossmarket.models.cross_stitch import CrossStitch
from crossmarket.models.dccdr.model import DCCDR
from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.models.ddtcdr import DDTCDR
from crossmarket.models.dtcdr import DTCDR
from crossmarket.models.ease import Ease
from crossmarket.models.fine_tuned import FineTuned
from crossmarket.models.forec import Forec, NMFForec
from crossmarket.models.gmf import GMF
from crossmarket.models.item_knn import ItemKNN
from crossmarket.models.lightgcn import LightGCN
from crossmarket.models.m3rec import M3Rec
from crossmarket.models.ma_nmf import MarketAwareNMF
from crossmarket.models.maml import MAML
from crossmarket.models.mlp import MLP
from crossmarket.models.mmoe import MMoE
from crossmarket.models.natr import NATR
from crossmarket.models.nmf import NMF
from crossmarket.models.plug_ins import find_plug_in, plug_ins
from crossmarket.models.popularity import DecayedPopularity, Popularity
from crossmarket.models.random_walk import RandomWalk
from crossmarket.models.star.model import Star
from crossmarket.models.wide_deep import WideDeep
from crossmarket.training.options import RunOptions

#: Every built-in system by its name.
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
        WideDeep,
        MarketAwareNMF,
        MAML,
        NMFForec,
        Forec,
        CoNet,
        DDTCDR,
        DTCDR,
        NATR,
        CrossStitch,
        MMoE,
        Star,
        ACMR,
        BiTGCF,
        DCCDR,
        RandomWalk,
        M3Rec,
        Bert4Rec,
        CatSR,
    )
}


def find_model(name: str) -> type[Recommender]:
    """Return the system of a short name, built in or of another package.

    Raises
    ------
    UsageError
        If there is none (the message lists those there are), or its package is broken.
    """
    if name in MODELS:
        return MODELS[name]
    plug_in = find_plug_in(name)
    if plug_in is None:
        known = dict.fromkeys([*MODELS, *(other.name for other in plug_ins())])
        raise UsageError(f"there is no model {name!r}; choose from: {', '.join(known)}")
    return plug_in.load()


def all_models() -> tuple[dict[str, type[Recommender]], list[str]]:
    """Return every system by its name, and a sentence for each plug-in that cannot be used.

    Those built in come first; one of them keeps its name whatever another package offers.
    """
    models, broken = dict(MODELS), []
    for plug_in in plug_ins():
        if plug_in.name in MODELS:
            broken.append(f"{plug_in} is left out: crossmarket has a system of that name")
            continue
        try:
            models[plug_in.name] = find_model(plug_in.name)
        except UsageError as error:
            broken.append(str(error))
    return models, list(dict.fromkeys(broken))


def plug_in_versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the packages, by package, that the systems not built in come from."""
    found = [find_plug_in(name) for name in names if name not in MODELS]
    return {plug_in.package: plug_in.version for plug_in in found if plug_in is not None}


def build_model(
    name: str,
    preset: str | None = None,
    config: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
) -> Recommender:
    """Build a system by name; the `default` preset where it has one and none is named."""
    model = find_model(name)
    if preset is None:
        preset = default_preset(model)
    return model.from_config(config, preset=preset, options=options)


def default_preset(model: type[Recommender]) -> str | None:
    """Preset that a system starts from when nobody names one: `default` where it has it."""
    return "default" if "default" in model.presets else None
