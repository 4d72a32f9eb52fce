"""LightGCN and its fine-tuned sibling: whose data they learn from, what they share."""

import numpy as np
import pytest
import torch
from tests.toys import TARGET, build_tiny, tiny_config

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.dcmpt.backbone import fine_tune, pretrain
from crossmarket.models.dcmpt.config import DCMPTConfig
from crossmarket.models.fine_tuned import FineTuned
from crossmarket.models.lightgcn import LightGCN
from crossmarket.models.tables import TableConfig


def everyone(split):
    return np.arange(len(split.train.users(TARGET)))


def test_the_merged_table_holds_all_markets_and_the_other_only_the_target(split, options):
    for markets, names in (("merged", split.train.markets), ("target", (TARGET,))):
        model = build_tiny(LightGCN, options, values={"markets": markets})
        model.fit(split.train, target=TARGET)
        assert model.num_trainable() == map_nodes(split.train, names).num_nodes * 8


def test_one_merged_training_serves_every_target(split, options):
    fits = []
    for target in split.train.markets:
        model = build_tiny(LightGCN, options, values={"markets": "merged"})
        model.fit(split.train, target=target, valid=split.valid)
        fits.append(model)
    assert len(options.memory) == 1
    assert fits[0].score(np.arange(2)).shape != fits[2].score(np.arange(2)).shape


def test_the_merged_table_is_the_backbone_that_dcmpt_freezes(split, options):
    config = DCMPTConfig(**tiny_config(DCMPTConfig))
    tables = pretrain(config, split.train, split.valid, TARGET, options)
    model = build_tiny(LightGCN, options, values={"markets": "merged"})
    model.fit(split.train, target=TARGET, valid=split.valid)
    assert list(options.memory.values()) == [tables]


@pytest.mark.parametrize("graph", ["target", "combined"])
def test_fine_tuning_starts_from_the_backbone(split, options, graph):
    """With no epochs of tuning on the combined graph it is merged LightGCN itself."""
    values = {"tuning": {"epochs": 0}, "graph": graph}
    tuned = build_tiny(FineTuned, options, values=values).fit(split.train, target=TARGET)
    merged = build_tiny(LightGCN, options, values={"markets": "merged"})
    merged.fit(split.train, target=TARGET)
    same = np.allclose(tuned.score(everyone(split)), merged.score(everyone(split)), atol=1e-6)
    assert same == (graph == "combined")


@pytest.mark.parametrize("graph", ["target", "combined"])
def test_fine_tuning_moves_a_copy(split, options, graph):
    settings = TableConfig(**tiny_config(TableConfig))
    config = DCMPTConfig(backbone=settings)
    backbone = pretrain(config, split.train, None, TARGET, options)
    before = backbone.layer0.clone()
    combined = graph == "combined"
    tuned = fine_tune(split.train, None, TARGET, backbone, settings, options, combined=combined)
    assert torch.equal(backbone.layer0, before)
    assert tuned.nodes.markets == (split.train.markets if combined else (TARGET,))
    if combined:
        assert not torch.equal(tuned.layer0, before)


def test_fine_tuning_learns_the_targets_positives_only(split, options):
    """Without layers and penalty only rows that a loss reads can move."""
    values = {**tiny_config(TableConfig), "num_layers": 0, "reg": 0.0}
    settings = TableConfig(**values)
    backbone = pretrain(DCMPTConfig(backbone=settings), split.train, None, TARGET, options)
    tuned = fine_tune(split.train, None, TARGET, backbone, settings, options, combined=True)
    moved = (tuned.layer0 != backbone.layer0).any(dim=1)
    for market in split.train.markets:
        users = tuned.nodes.user_nodes(market, np.arange(len(split.train.users(market))))
        assert moved[users].any() == (market == TARGET)


@pytest.mark.usefixtures("best_at_two")
@pytest.mark.parametrize(
    ("model_class", "parts"), [(LightGCN, None), (FineTuned, ["backbone", "tuning"])]
)
def test_settled_epochs_are_those_of_the_best_states(split, options, model_class, parts):
    model = build_tiny(model_class, options, epochs=7)
    model.fit(split.train, target=TARGET, valid=split.valid)
    settled, before = model.settled().get_config(), model.get_config()
    for values in [settled[part] for part in parts] if parts else [settled]:
        assert values["epochs"] == 2
        values["epochs"] = 7
    assert settled == before


def test_settled_epochs_are_trained_without_a_look_at_validation(split, options):
    model = build_tiny(FineTuned, options, epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    first, second = [
        model.settled().fit(split.refit().train, target=TARGET).score(everyone(split))
        for _ in range(2)
    ]
    np.testing.assert_array_equal(first, second)
