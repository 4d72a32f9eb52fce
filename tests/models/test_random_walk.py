"""Skip-gram on walks and exact walks against their definitions."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from tests.learning import fit_blocks, hits_at_one
from tests.models.networks import randomise
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, block_markets, build_tiny

from crossmarket.graph.sparse import SparseMatrix
from crossmarket.graph.walks import ItemWalks, co_occurrence
from crossmarket.models.random_walk import RandomWalk
from crossmarket.models.skip_gram import SkipGram, SkipGramConfig, cosine_scores
from crossmarket.training.options import RunOptions
from crossmarket.training.walk_batches import WalkSampler

WALKS = {"walk_length": 12, "window": 3, "batch_size": 32, "learning_rate": 0.05}


# -- learning ---------------------------------------------------------------------------------


def test_vectors_learn_the_blocks():
    model, data = fit_blocks(RandomWalk, {**WALKS, "embedding_size": 16}, epochs=20)
    assert hits_at_one(model, data) == 1
    losses = [record["loss"] for record in model._fitted.trained.history[1:]]
    assert losses[-1] < losses[0] - 0.1


def found_missing(values):
    """Share of users whose best new item is the one of their block they have not bought."""
    data = block_markets()
    model = build_tiny(RandomWalk, RunOptions(seed=1, threads=1), values=values)
    table = model.fit(data, target=TARGET).recommend(list(data.users(TARGET).ids), k=1)
    hits = [
        item == f"i{user[1]}-{int(user[3:]) % 4}"
        for user, item in zip(table["user_id"], table["item_id"], strict=True)
    ]
    return np.mean(hits)


def test_the_missing_item_of_the_block_is_found_after_training_only():
    assert found_missing({**WALKS, "embedding_size": 16, "epochs": 20}) == 1
    assert found_missing({**WALKS, "embedding_size": 16, "epochs": 0}) < 0.5
    assert found_missing({"scores": "exact"}) == 1


# -- equations --------------------------------------------------------------------------------


@pytest.mark.parametrize("smooth", [False, True])
def test_the_loss_is_that_of_skip_gram_with_negative_sampling(smooth):
    config = SkipGramConfig(
        embedding_size=3, walk_length=5, window=2, num_negatives=4, shared_negatives=2
    )
    rng = np.random.default_rng(1)
    similarity = rng.random((6, 6)) * (rng.random((6, 6)) < 0.5) if smooth else np.zeros((6, 6))
    matrix = SparseMatrix.of(csr_array(similarity), "cpu") if smooth else None
    network = randomise(SkipGram(6, config, matrix))
    targets, contexts = (table.detach().double().numpy() for table in network.parameters())
    v, vbar = similarity @ targets + targets, similarity @ contexts + contexts
    np.testing.assert_allclose(network.vectors(), v, rtol=1e-5, atol=1e-6)

    walks, negatives = rng.integers(6, size=(3, 5)), rng.integers(6, size=(3, 2))
    total, pairs = 0.0, 0
    for walk, drawn in zip(walks, negatives, strict=True):
        for t in range(5):
            for s in range(5):
                if s == t or abs(s - t) > 2:
                    continue
                pairs += 1
                total += np.log1p(np.exp(-v[walk[t]] @ vbar[walk[s]]))
                for item in drawn:  # the two of them stand for four
                    total += 2 * np.log1p(np.exp(v[walk[t]] @ vbar[item]))
    sampler = WalkSampler(ItemWalks.of(co_occurrence(csr_array(np.ones((2, 6))))), 1, 5, 2, 0.75)
    loss = network.losses(sampler.batch(walks, negatives))["loss"]
    assert loss.item() == pytest.approx(total / pairs, rel=1e-5)


def test_the_gradient_is_that_of_the_loss():
    config = SkipGramConfig(embedding_size=3, walk_length=4, window=2, shared_negatives=2)
    rng = np.random.default_rng(4)
    similarity = csr_array(rng.random((5, 5)) * (rng.random((5, 5)) < 0.5))
    sampler = WalkSampler(ItemWalks.of(co_occurrence(csr_array(np.ones((2, 5))))), 1, 4, 2, 0.75)
    batch = sampler.batch(rng.integers(5, size=(3, 4)), rng.integers(5, size=(3, 2)))
    network = randomise(SkipGram(5, config, SparseMatrix.of(similarity, "cpu")))
    network.losses(batch)["loss"].backward()
    for table in network.parameters():
        gradient = table.grad.clone()
        step = 1e-2
        for place in [(0, 0), (2, 1), (4, 2)]:
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    table[place] += sign * step
                    values.append(network.losses(batch)["loss"].item())
                    table[place] -= sign * step
            slope = (values[0] - values[1]) / (2 * step)
            assert gradient[place].item() == pytest.approx(slope, abs=2e-4)


def test_the_score_is_the_cosine_of_the_mean_of_the_history_and_the_item(split, options):
    train = split.train
    model = build_tiny(RandomWalk, options).fit(train, target=TARGET)
    items = model._nodes.items
    vectors = model._fitted.network.targets.detach().double().numpy()
    expected = np.zeros((len(train.users(TARGET)), len(train.catalogue(TARGET))))
    for user, row in enumerate(train.matrix(TARGET).toarray()):
        history = [vectors[np.flatnonzero(items == item)[0]] for item in np.flatnonzero(row)]
        if not history:
            continue
        mean = np.mean(history, axis=0)
        for place, item in enumerate(train.catalogue(TARGET)):
            other = vectors[np.flatnonzero(items == item)[0]]
            norms = np.linalg.norm(mean) * np.linalg.norm(other)
            expected[user, place] = mean @ other / norms
    np.testing.assert_allclose(model.score(np.arange(len(expected))), expected, atol=1e-5)


def test_the_cosine_with_no_vector_is_zero():
    users = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)
    items = np.array([[4.0, 3.0], [0.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(cosine_scores(users, items), [[0.96, 0], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("markets", ["target", "merged"])
def test_exact_scores_are_the_history_times_a_power_of_the_transitions(
    split, options, markets, steps
):
    train = split.train
    values = {"markets": markets, "steps": steps}
    model = RandomWalk.from_config(values, preset="exact", options=options)
    model.fit(train, target=TARGET)
    names = train.markets if markets == "merged" else [TARGET]
    stacked = np.vstack([train.matrix(name).toarray() for name in names]).astype(np.float64)
    shared = stacked.T @ stacked
    np.fill_diagonal(shared, 0)
    steps_of = shared / np.maximum(shared.sum(axis=1, keepdims=True), 1)
    reached = np.linalg.matrix_power(steps_of, steps)
    expected = (train.matrix(TARGET).toarray() @ reached)[:, train.catalogue(TARGET)]
    users = np.arange(len(expected))
    np.testing.assert_allclose(model.score(users), expected, rtol=1e-4, atol=1e-6)
    assert model.num_trainable() == 0
    assert model.settled().config == model.config


# -- transfer and sharing ---------------------------------------------------------------------


@pytest.mark.parametrize("scores", ["skip-gram", "exact"])
def test_a_source_matters_through_shared_items_only(options, scores):
    def found(data, markets):
        values = {"markets": markets, "scores": scores}
        model = build_tiny(RandomWalk, RunOptions(seed=1, threads=1), values=values)
        return model.fit(data, target="aa").score(np.arange(10))

    bridged, apart = two_markets(shared=True), two_markets(shared=False)
    changed = found(relabelled(bridged), "merged")
    assert not np.allclose(found(bridged, "merged"), changed, atol=1e-4)
    np.testing.assert_array_equal(found(bridged, "target"), found(relabelled(bridged), "target"))
    if scores == "exact":  # sampled walks differ, whoever is met
        np.testing.assert_array_equal(found(apart, "merged"), found(relabelled(apart), "merged"))


@pytest.mark.parametrize("scores", ["skip-gram", "exact"])
def test_one_merged_training_serves_every_target(split, scores):
    options = RunOptions(seed=1, threads=1)
    for target in ("aa", TARGET, "cc"):
        model = build_tiny(RandomWalk, options, values={"scores": scores})
        model.fit(split.train, target=target, valid=split.valid)
    assert len(options.memory) == 1
    alone = build_tiny(RandomWalk, options, values={"scores": scores, "markets": "target"})
    alone.fit(split.train, target=TARGET, valid=split.valid)
    assert len(options.memory) == 2


def test_epochs_are_settled_by_validation(split, best_at_two):
    model = build_tiny(RandomWalk, RunOptions(seed=1, threads=1), epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    assert model.settled().config.epochs == 2
    rows = len(model._nodes.items)
    assert model.num_trainable() == 2 * rows * 8
