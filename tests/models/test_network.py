"""Training a module as a stage: what is shared, what is frozen, what decides."""

import numpy as np
import pytest
import torch
from torch import nn

from crossmarket.models.config import TrainingConfig
from crossmarket.models.network import (
    NetworkConfig,
    NetworkTask,
    data_key,
    fit_network,
    freeze,
    seeded,
    settle,
    stage_config,
    state_hash,
)
from crossmarket.training.options import RunOptions


class Line(nn.Module):
    """One trained layer behind a frozen one, with dropout."""

    def __init__(self):
        super().__init__()
        self.frozen, self.free = nn.Linear(3, 3), nn.Linear(3, 1)
        freeze(self.frozen)

    def forward(self, x):
        return self.free(nn.functional.dropout(self.frozen(x), 0.5, self.training))


def make_task(network):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))

    def batches(generator):
        yield from np.split(generator.permutation(40), 4)

    def losses(rows):
        return {"loss": (network(x[rows]) - x[rows].sum(1, keepdim=True)).square().mean()}

    return NetworkTask(network, batches, losses, None, lambda market, users, items: None)


def build(seed=0):
    with seeded(seed):
        return Line()


def fit(options, network=None, inputs=None, **config):
    return fit_network(
        network or build(),
        TrainingConfig(**{"epochs": 3, "learning_rate": 0.05, **config}),
        options,
        kind="line",
        inputs=inputs or {},
        make_task=make_task,
    )


def test_frozen_parts_stay_bit_identical_and_the_others_learn(options):
    before = build().state_dict()
    fitted = fit(options)
    after = fitted.network.state_dict()
    for name in ("frozen.weight", "frozen.bias"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["free.weight"], after["free.weight"])
    assert not fitted.network.training
    losses = [record["loss"] for record in fitted.trained.history[1:]]
    assert losses[-1] < losses[0]


def test_the_same_seed_gives_the_same_bytes_and_leaves_torchs_generator_alone(options):
    torch.manual_seed(7)
    state = torch.get_rng_state()
    first = fit(options)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(8)
    second = fit(RunOptions(seed=3, threads=1))
    assert state_hash(first.network) == state_hash(second.network)
    other = fit(RunOptions(seed=4, threads=1))
    assert state_hash(first.network) != state_hash(other.network)


def test_equal_trainings_are_done_once(options):
    first = fit(options)
    assert fit(options) is first
    assert fit(options, inputs={"train": "other"}) is not first
    assert fit(options, build(seed=1)) is not first
    assert fit(options, learning_rate=0.01) is not first
    thawed = build()
    thawed.frozen.requires_grad_(True)
    assert fit(options, thawed) is not first


def test_a_finished_stage_is_read_back(tmp_path):
    first = fit(RunOptions(seed=3, threads=1, workspace=tmp_path))
    second = fit(RunOptions(seed=3, threads=1, workspace=tmp_path))
    assert state_hash(first.network) == state_hash(second.network)
    assert len(list(tmp_path.glob("line-*/stage.json"))) == 1


def test_settled_configs_carry_the_chosen_epochs(options):
    fitted = fit(options)

    class Whole(NetworkConfig):
        first: TrainingConfig | None = TrainingConfig()

    config = settle(Whole(epochs=9), fitted, first=fitted)
    assert (config.epochs, config.first.epochs) == (3, 3)
    untouched = settle(Whole(epochs=9, first=None), None, first=None)
    assert (untouched.epochs, untouched.first) == (9, None)


def test_an_earlier_stage_has_the_settings_of_the_whole_on_its_own_schedule():
    whole = NetworkConfig(reg=0.5, batch_size=7, epochs=9, learning_rate=0.1)
    stage = stage_config(NetworkConfig, whole, TrainingConfig(epochs=2, learning_rate=0.3))
    assert (stage.reg, stage.batch_size, stage.epochs, stage.learning_rate) == (0.5, 7, 2, 0.3)


def test_the_key_covers_what_is_learned_and_what_is_validated(split):
    everything = data_key(split.train, split.valid, split.train.markets)
    assert everything == data_key(split.train, split.valid, split.train.markets)
    for other in (
        data_key(split.train, None, split.train.markets),
        data_key(split.train, split.valid, ["aa"]),
        data_key(split.train, split.valid, split.train.markets, ["aa"]),
        data_key(split.train, split.test, split.train.markets),
    ):
        assert other != everything


@pytest.mark.parametrize("decay", [0.0, 10.0])
def test_weight_decay_pulls_to_zero(options, decay):
    network = build()
    fitted = fit_network(
        network,
        TrainingConfig(epochs=200, learning_rate=0.05),
        options,
        kind="line",
        inputs={},
        make_task=make_task,
        weight_decay=decay,
    )
    size = fitted.network.free.weight.abs().max().item()
    assert size < 0.1 if decay else size > 0.3
