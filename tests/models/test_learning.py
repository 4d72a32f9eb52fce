"""Every system that learns can learn: it over-fits a toy to the full, and its loss falls."""

import json

import numpy as np
import pytest
from tests.learning import TARGET, fit_blocks, hits_at_one, ranked_on_top
from tests.toys import block_markets, build_tiny

from crossmarket.models.dcmpt.model import DCMPT
from crossmarket.models.ease import Ease
from crossmarket.models.fine_tuned import FineTuned
from crossmarket.models.item_knn import ItemKNN
from crossmarket.models.lightgcn import LightGCN
from crossmarket.training.options import RunOptions

EPOCHS = 80
TABLES = {
    "embedding_size": 16,
    "num_layers": 1,
    "learning_rate": 0.05,
    "reg": 0.0,
    "num_negatives": 4,
    "batch_size": 64,
}
BPR = {**TABLES, "loss": "bpr", "similarity": "dot", "temperature": 1.0}
SOFTMAX = {**TABLES, "loss": "softmax", "similarity": "cosine", "temperature": 0.1}
PROMPTS = {"learning_rate": 0.05, "reg": 0.0, "num_prompts": 4}
BOTH = {"backbone": BPR, "teacher": BPR, **PROMPTS}

SYSTEMS = {
    "lightgcn-bpr": (LightGCN, {"markets": "merged", **BPR}),
    "lightgcn-softmax": (LightGCN, {"markets": "target", **SOFTMAX}),
    "fine-tuned": (FineTuned, {"backbone": BPR, "tuning": BPR}),
    "dcmpt": (DCMPT, BOTH),
    "dcmpt-softmax": (DCMPT, {**BOTH, "backbone": SOFTMAX, "teacher": SOFTMAX}),
    "dcmpt-combined": (DCMPT, {**BOTH, "graph": "combined", "split_banks": True}),
    # Nothing is pre-trained or distilled: all that is learned is in the prompts.
    "dcmpt-random": (
        DCMPT,
        {
            **BOTH,
            "pretrain": "random",
            "backbone": {**BPR, "init_std": 0.5},
            "num_prompts": 32,
            "beta": 0.0,
            "gamma": 0.0,
        },
    ),
}


@pytest.fixture(scope="module")
def blocks():
    return block_markets()


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_learning_system_over_fits_and_its_loss_falls(blocks, tmp_path, name):
    model_class, values = SYSTEMS[name]
    model, _ = fit_blocks(model_class, values, epochs=EPOCHS, workspace=tmp_path, data=blocks)
    assert ranked_on_top(model, blocks).all()
    assert hits_at_one(model, blocks) == 1

    histories = list(tmp_path.glob("*/history.jsonl"))
    assert histories
    for path in histories:
        losses = [json.loads(line)["loss"] for line in path.read_text().splitlines()[1:]]
        assert len(losses) == EPOCHS
        assert np.mean(losses[-3:]) < losses[0], path.parent.name


@pytest.mark.parametrize("name", SYSTEMS)
def test_without_training_it_could_not(blocks, name):
    """So the test above measures learning, not the graph."""
    model_class, values = SYSTEMS[name]
    model = build_tiny(model_class, RunOptions(seed=1, threads=1), values=values, epochs=0)
    assert ranked_on_top(model.fit(blocks, target=TARGET), blocks).mean() < 0.5


@pytest.mark.parametrize("model_class", [Ease, ItemKNN])
def test_a_counting_system_ranks_the_missing_item_of_the_block_first(blocks, model_class):
    """Of the items a user has not bought, the one that belongs to its block comes first."""
    model = model_class().fit(blocks, target=TARGET)
    table = model.recommend(list(blocks.users(TARGET).ids), k=1)
    for user, item in zip(table["user_id"], table["item_id"], strict=True):
        block, number = user[1:].split("-")
        assert item == f"i{block}-{int(number) % 4}"


def test_a_learned_system_generalises_to_the_missing_item(blocks):
    options = RunOptions(seed=1, threads=1)
    model = build_tiny(LightGCN, options, values={"markets": "merged", **BPR}, epochs=EPOCHS)
    table = model.fit(blocks, target=TARGET).recommend(list(blocks.users(TARGET).ids), k=1)
    hits = [
        item == f"i{user[1]}-{int(user[3:]) % 4}"
        for user, item in zip(table["user_id"], table["item_id"], strict=True)
    ]
    assert np.mean(hits) > 0.9
