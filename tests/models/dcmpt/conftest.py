"""A frozen backbone and a random teacher over the toy markets."""

import pytest
import torch
from tests.toys import TARGET, tiny_config

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.dcmpt.backbone import pretrain
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler


@pytest.fixture(scope="session")
def configure():
    """Tiny DCMPT settings with overrides."""

    def make(**values):
        return DCMPTConfig(**{**tiny_config(DCMPTConfig), **values})

    return make


@pytest.fixture(scope="session")
def backbone(split, configure):
    """Tables of all markets, barely trained."""
    options = RunOptions(seed=2, threads=1)
    return pretrain(configure(), split.train, None, TARGET, options)


@pytest.fixture(scope="session")
def sampler(split):
    """The target's positives."""
    return PositiveSampler(split.train, map_nodes(split.train, (TARGET,)))


@pytest.fixture(scope="session")
def teacher(sampler):
    """Random vectors of the target's nodes; of another width than the student's."""
    generator = torch.Generator().manual_seed(9)
    return torch.randn(sampler.nodes.num_nodes, 5, generator=generator)
