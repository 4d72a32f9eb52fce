"""Embedding tables: the loss of a batch, validation, and what a fit shares and keeps."""

import numpy as np
import pytest
import torch
from tests.toys import tiny_config

from crossmarket.graph.bipartite import map_nodes
from crossmarket.graph.propagation import propagate
from crossmarket.models.objectives import as_similarity
from crossmarket.models.tables import (
    ObjectiveConfig,
    PairObjective,
    TableConfig,
    TableTask,
    fit_tables,
    initial_table,
    tensor_hash,
)
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

MERGED = ("aa", "bb", "cc")


def small(**values):
    return TableConfig(**{**tiny_config(TableConfig), **values})


@pytest.fixture(scope="module")
def train(split):
    return split.train


@pytest.fixture(scope="module")
def nodes(train):
    return map_nodes(train, MERGED)


@pytest.fixture(scope="module")
def sampler(train, nodes):
    return PositiveSampler(train, nodes)


def loss_by_loop(vectors, config, sampler, seed):
    """Draw as the objective does, then loop over the positives and their negatives."""
    rng = np.random.default_rng(seed)
    batch = next(sampler.batches(25, rng))
    if config.loss != "softmax":
        drawn = sampler.pairwise(batch, config.num_negatives, rng).tolist()
    else:
        shared = sampler.shared(batch, config.num_negatives, rng)
        drawn = [shared[market].tolist() for s, e, market in batch.bounds for _ in range(s, e)]
    unit = as_similarity(vectors, config.similarity)
    total = 0.0
    for user, item, negatives in zip(batch.users, batch.items, drawn, strict=True):
        positive = unit[user] @ unit[item] / config.temperature
        others = [unit[user] @ unit[n] / config.temperature for n in negatives]
        if config.loss == "bpr":
            total += sum(torch.log1p((other - positive).exp()) for other in others) / len(others)
        elif config.loss == "bce":
            terms = [torch.log1p((-positive).exp()), *(torch.log1p(o.exp()) for o in others)]
            total += sum(terms) / len(terms)
        else:
            kept = [o for o, n in zip(others, negatives, strict=True) if n != item]
            total += torch.stack([positive, *kept]).logsumexp(dim=0) - positive
    return total / len(batch.users)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
@pytest.mark.parametrize("loss", ["bpr", "bce", "softmax"])
def test_the_loss_of_a_batch_is_that_of_a_loop_over_its_pairs(nodes, sampler, loss, similarity):
    config = ObjectiveConfig(loss=loss, similarity=similarity, temperature=0.4, num_negatives=6)
    vectors = initial_table(nodes, small(init_std=1.0), 0)
    objective = PairObjective(config, sampler, "cpu")
    rng = np.random.default_rng(4)
    batch = objective.prepare(next(sampler.batches(25, rng)), rng)
    actual = objective(vectors, batch)
    expected = loss_by_loop(vectors.double(), config, sampler, 4)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("reg", [0.0, 0.3])
def test_the_penalty_counts_every_read_row_over_the_batch(train, nodes, sampler, reg):
    config = small(loss="bpr", num_negatives=1, reg=reg, num_layers=2, batch_size=10)
    table = initial_table(nodes, config, 0)
    graph = nodes.graph_of(train)
    task = TableTask(config, table.clone(), graph, sampler, None, "cpu")
    actual = task.losses(next(task.batches(np.random.default_rng(1))))["loss"]

    rng = np.random.default_rng(1)
    batch = next(sampler.batches(10, rng))
    negatives = sampler.pairwise(batch, 1, rng).ravel()
    vectors = propagate(graph, table, 2)
    users, items, others = (
        torch.from_numpy(rows) for rows in (batch.users, batch.items, negatives)
    )
    margins = (vectors[users] * (vectors[others] - vectors[items])).sum(dim=1)
    read = torch.cat([table[users], table[items], table[others]])
    expected = torch.nn.functional.softplus(margins).mean() + reg * read.square().sum() / 10
    torch.testing.assert_close(actual, expected)
    assert task.validate() == {}


def test_the_initial_table_is_normal_and_seeded(nodes):
    config = TableConfig(embedding_size=400, init_std=0.3)
    table = initial_table(nodes, config, 1)
    assert table.shape == (nodes.num_nodes, 400)
    assert table.dtype == torch.float32
    assert table.std().item() == pytest.approx(0.3, rel=0.02)
    assert table.mean().item() == pytest.approx(0, abs=0.01)
    assert torch.equal(table, initial_table(nodes, config, 1))
    assert not torch.equal(table, initial_table(nodes, config, 2))


def test_equal_trainings_are_done_once_and_others_anew(split, options):
    def fit(config=None, valid=split.valid, markets=MERGED, **more):
        settings = config or small()
        return fit_tables(split.train, valid, markets, settings, options, kind="backbone", **more)

    first = fit()
    assert fit() is first
    assert fit(small(reg=0.5)) is not first
    assert fit(valid=None) is not first
    assert fit(markets=("bb",)) is not first
    assert fit(learn_from=("bb",)) is not first
    assert fit(start=torch.zeros_like(first.layer0)) is not first
    assert len({tables.stage_hash for tables in options.memory.values()}) == 6


def test_a_fit_starts_where_it_is_told(split, options):
    start = torch.full((map_nodes(split.train, ("bb",)).num_nodes, 8), 0.5)
    settings = small(epochs=0)
    tables = fit_tables(split.train, None, ("bb",), settings, options, kind="toy", start=start)
    assert torch.equal(tables.layer0, start)
    again = fit_tables(
        split.train, None, ("bb",), small(epochs=3), options, kind="toy", start=start
    )
    assert not torch.equal(again.layer0, start)
    assert torch.equal(start, torch.full_like(start, 0.5))
    assert not again.layer0.requires_grad


def test_learning_from_one_market_moves_only_what_its_losses_read(split, options):
    """With no layers and no penalty, rows of users elsewhere get no gradient at all."""
    settings = small(num_layers=0, reg=0.0, epochs=1)
    tables = fit_tables(
        split.train, None, MERGED, settings, options, kind="toy", learn_from=("bb",)
    )
    before = initial_table(tables.nodes, settings, options.seed)
    moved = (tables.layer0 != before).any(dim=1).numpy()
    start = tables.nodes.user_starts["bb"]
    end = start + len(split.train.users("bb"))
    assert moved[start : end - 1].any()
    assert not moved[:start].any()
    assert not moved[end : tables.nodes.num_users].any()


@pytest.mark.parametrize("loss", ["bpr", "softmax"])
def test_a_finished_stage_is_read_back_from_the_workspace(split, tmp_path, loss):
    settings = small(loss=loss)

    def fit():
        options = RunOptions(threads=1, workspace=tmp_path)
        return fit_tables(split.train, split.valid, MERGED, settings, options, kind="backbone")

    first, second = fit(), fit()
    assert len(list(tmp_path.iterdir())) == 1
    assert second.trained.seconds == []
    assert torch.equal(first.layer0, second.layer0)


def test_tensor_hash_sees_shape_and_bytes():
    zeros = torch.zeros(2, 3)
    assert tensor_hash(zeros) == tensor_hash(zeros.clone())
    assert tensor_hash(zeros) != tensor_hash(zeros.T)
    assert tensor_hash(zeros) != tensor_hash(zeros.index_fill(0, torch.tensor([1]), 1e-30))
    strided = torch.arange(6.0).view(2, 3).T
    assert tensor_hash(strided) == tensor_hash(strided.contiguous())
