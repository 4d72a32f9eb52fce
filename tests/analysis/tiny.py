"""Systems that are fitted in milliseconds, and a setting on the mini-markets."""

from tests.small import TINY, markets, result_of

from crossmarket.analysis.base import Setting
from crossmarket.evaluation.protocols import Protocol
from crossmarket.experiments.systems import SystemConfig
from crossmarket.models.config import merge_values

SHORT = {"epochs": 1, "validation_users": 5}
ACMR = {"embedding_size": 8, "num_layers": 2, "num_heads": 2, **SHORT, "fine_tuning": {"epochs": 1}}

POPULARITY = SystemConfig(title="Popularity", model="popularity")
EASE = SystemConfig(title="EASE", model="ease")


def dcmpt(title="DCMPT", preset=None, **values):
    config = merge_values(TINY, values)
    return SystemConfig(title=title, model="dcmpt", preset=preset, config=config)


def acmr(title="ACMR", preset=None, **values):
    config = merge_values(ACMR, values)
    return SystemConfig(title=title, model="acmr", preset=preset, config=config)


def setting(folder, *systems, protocol="ratio-full", names=("mx", "uk"), seeds=(0,), **options):
    return Setting(
        result_of(markets()),
        folder,
        markets=names,
        systems=systems,
        protocol=Protocol(name=protocol, **options),
        seeds=seeds,
    )
