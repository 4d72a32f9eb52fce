"""M3Rec against its equations, pair by pair; what is shared, what is local, what is frozen."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.networks import arrays, randomise
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny

from crossmarket.models.local_markets import LocalMarkets
from crossmarket.models.local_vectors import LocalConfig, LocalNetwork, LocalSampler
from crossmarket.models.m3rec import M3Rec
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import Batch

WALKS = {"walk_length": 12, "window": 3, "batch_size": 64, "epochs": 10}
BLOCKS = {
    "embedding_size": 16,
    "learning_rate": 0.05,
    "dropout": 0.0,
    "negative_weight": 10.0,
    "ease_reg": 2.0,
    "skip_gram": WALKS,
}
SETS = ["paper", "no-intra", "no-inter", "no-similarity"]


def fresh():
    return RunOptions(seed=1, threads=1)


def similarity_by_hand(train, ease_reg, threshold):
    """B over the whole vocabulary, float64, with rows that sum to 1 or are empty."""
    stacked = np.vstack([train.matrix(market).toarray() for market in train.markets])
    gram = stacked.T.astype(np.float64) @ stacked + ease_reg * np.eye(stacked.shape[1])
    inverse = np.linalg.inv(gram)
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0)
    return rows_normalised(np.where(weights < threshold, 0, weights))


def rows_normalised(matrix):
    sums = matrix.sum(axis=1, keepdims=True)
    return np.divide(matrix, sums, out=np.zeros_like(matrix), where=sums > 0)


# -- learning ---------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", SETS)
def test_it_learns_the_blocks(preset):
    model, data = fit_blocks(M3Rec, BLOCKS, preset=preset, epochs=100)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    losses = [record["loss"] for record in model._fitted.trained.history[1:]]
    assert np.mean(losses[-3:]) < losses[0] - 0.1


def test_without_any_training_or_similarity_it_could_not():
    model, data = fit_blocks(M3Rec, BLOCKS, preset="no-similarity", epochs=0)
    assert ranked_on_top(model, data).mean() < 0.5


# -- stage A ----------------------------------------------------------------------------------


def test_similarities_are_the_large_ease_weights_in_rows_that_sum_to_one(split):
    model = build_tiny(M3Rec, fresh(), values={"ease_reg": 5.0, "threshold": 0.02})
    model.fit(split.train, target=TARGET)
    (found,) = (value for value in model.options.memory.values() if hasattr(value, "indptr"))
    expected = similarity_by_hand(split.train, 5.0, 0.02)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-4, atol=1e-6)
    assert 0 < found.nnz < np.count_nonzero(similarity_by_hand(split.train, 5.0, 1e-9))
    assert not found.diagonal().any()


# -- stage C ----------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
@pytest.mark.parametrize("intra", [True, False])
def test_vectors_scores_and_loss_follow_the_equations(split, names, intra):
    train = split.train.select_markets(names).drop_unsold_items()
    similarity = similarity_by_hand(train, 5.0, 0.01)
    model = build_tiny(M3Rec, fresh(), values={"ease_reg": 5.0})
    markets = LocalMarkets.of(train, model._mine_similarity(train) if intra else None)
    config = LocalConfig(num_negatives=2, margin=0.1, dropout=0.0, reg=0.01, negative_weight=3.0)
    everywhere = torch.zeros(len(train.items), 3)
    network = randomise(LocalNetwork(markets, everywhere, config, "cpu"))
    state = arrays(network)

    vectors = {}
    first_item = first_user = 0
    for market in train.markets:
        sold, matrix = train.catalogue(market), train.matrix(market).toarray().astype(np.float64)
        items = state["everywhere"][sold] + state["items"][first_item : first_item + len(sold)]
        block = rows_normalised(similarity[np.ix_(sold, sold)]) if intra else np.eye(len(sold))
        users = rows_normalised(matrix[:, sold] @ block) @ items
        users += state["users"][first_user : first_user + len(matrix)]
        vectors[market] = users, items
        first_item, first_user = first_item + len(sold), first_user + len(matrix)
        unit_users, unit_items = (
            rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
            for rows in (users, items)
        )
        rows = np.arange(len(matrix))
        found = network.vectors_of(market).score(train.matrix(market), sold, rows)
        np.testing.assert_allclose(found, unit_users @ unit_items.T, atol=1e-5)

    # One positive of each market with two negatives each.
    nodes = markets.nodes
    users, chosen, expected = [], [], []
    for market in train.markets:
        edges, sold = train.edges(market), train.catalogue(market)
        user, places = edges.users[3], [int(np.searchsorted(sold, edges.items[3])), 0, 5]
        users.append(nodes.user_nodes(market, np.array([user]))[0])
        chosen.append(nodes.item_nodes(sold[places], market))
        u = vectors[market][0][user]
        own = vectors[market][1][places]
        cosines = own @ u / np.linalg.norm(u) / np.linalg.norm(own, axis=1)
        expected.append(1 - cosines[0] + 3 * np.maximum(0, cosines[1:] - 0.1).mean())
    chosen = np.array(chosen)
    bounds = [(place, place + 1, place) for place in range(len(users))]
    sampler = LocalSampler(train, markets, config, "cpu")
    batch = sampler.batch(Batch(np.array(users), chosen[:, 0], bounds), chosen[:, 1:])
    penalty = 0.01 * (state["items"] ** 2).sum()
    loss = network.losses(batch)["loss"].item()
    assert loss == pytest.approx(np.mean(expected) + penalty, rel=1e-5)


def test_the_positive_is_no_part_of_its_own_smoothed_history(split):
    """Through B, whose diagonal is empty, an item counts for itself only by way of others."""
    train = split.train
    model = build_tiny(M3Rec, fresh(), values={"ease_reg": 5.0})
    markets = LocalMarkets.of(train, model._mine_similarity(train))
    for market in train.markets:
        assert not markets.similarity[market].diagonal().any()
        sums = markets.similarity[market].sum(axis=1)
        assert np.all(np.isclose(sums, 1, atol=1e-6) | (sums == 0))


def test_negatives_are_unseen_items_of_the_same_market(split):
    train = split.train
    markets = LocalMarkets.of(train, None)
    sampler = LocalSampler(train, markets, LocalConfig(num_negatives=3), "cpu")
    nodes, seen = markets.nodes, 0
    batches = list(sampler.batches(np.random.default_rng(0)))
    for batch in batches:
        items = batch.items.rows.view(len(batch.users.rows), 4).numpy()
        for user, places in zip(batch.users.rows.tolist(), items, strict=True):
            market = max(
                (name for name in nodes.markets if nodes.user_starts[name] <= user),
                key=nodes.user_starts.get,
            )
            start, end = nodes.domains[market]
            assert ((start <= places) & (places < end)).all()
            history = train.matrix(market)[[user - nodes.user_starts[market]]].indices
            bought = np.isin(nodes.items[places], history)
            assert bought.tolist() == [True, False, False, False]
            seen += 1
    assert seen == train.num_interactions


# -- what stays, what moves -------------------------------------------------------------------


def test_global_vectors_come_from_the_walks_and_stay_as_they_are(split):
    model = build_tiny(M3Rec, fresh(), epochs=3).fit(split.train, target=TARGET)
    network = model._fitted.network
    walks = model._walks.network.vectors()
    assert not network.everywhere.requires_grad
    assert torch.equal(network.everywhere, walks)
    assert network.items.abs().max() > 0
    assert network.users.abs().max() > 0
    assert set(model._fitted.trained.tensors) == {"items", "users"}
    local = [network.items.numel(), network.users.numel()]
    assert model.num_trainable() == sum(local)


def test_local_tables_start_at_zero(split):
    model = build_tiny(M3Rec, fresh(), epochs=0).fit(split.train, target=TARGET)
    assert not model._fitted.network.items.any()
    assert not model._fitted.network.users.any()
    assert model._walks.trained.best_epoch == 0
    # So users of equal histories are alike, and a bare history is scored like theirs.
    histories = split.train.matrix(TARGET)
    np.testing.assert_array_equal(
        model.score(np.arange(5)), model.score_histories(histories[np.arange(5)])
    )


def test_without_walks_a_random_table_is_trained(split):
    model = build_tiny(M3Rec, fresh(), preset="no-inter", epochs=3)
    model.fit(split.train, target=TARGET)
    network = model._fitted.network
    assert model._walks is None
    start = build_tiny(M3Rec, fresh(), preset="no-inter", epochs=0)
    before = start.fit(split.train, target=TARGET)._fitted.network.everywhere
    assert 0.05 < before.std() < 0.15
    assert not torch.equal(network.everywhere, before)
    assert model.num_trainable() == sum(table.numel() for table in network.parameters())


def test_ablations_leave_out_what_they_say(split):
    def fitted(preset):
        options = fresh()
        model = build_tiny(M3Rec, options, preset=preset).fit(split.train, target=TARGET)
        mined = [value for value in options.memory.values() if hasattr(value, "indptr")]
        return model, mined

    for preset, intra, inter in [
        ("paper", True, True),
        ("default", True, True),
        ("no-intra", False, True),
        ("no-inter", True, False),
        ("no-similarity", False, False),
    ]:
        model, mined = fitted(preset)
        assert len(mined) == intra
        assert (model._walks is not None) == inter
        assert (model._fitted.network.markets.similarity is not None) == intra
        if inter:
            assert (model._walks.network.similarity is not None) == intra


# -- transfer and sharing ---------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["paper", "no-intra", "no-inter"])
def test_a_source_matters_through_shared_items(preset):
    data = two_markets(shared=True)

    def found(train):
        model = build_tiny(M3Rec, fresh(), preset=preset, values={"ease_reg": 2.0}, epochs=3)
        return model.fit(train, target="aa").score(np.arange(10))

    assert not np.allclose(found(data), found(relabelled(data)), atol=1e-4)
    assert not np.allclose(found(data), found(data.select_markets(["aa"])), atol=1e-4)


def test_similarities_do_not_cross_markets_without_shared_items():
    apart = two_markets(shared=False)
    model = build_tiny(M3Rec, fresh(), values={"ease_reg": 2.0})
    before, after = (
        LocalMarkets.of(train, model._mine_similarity(train))
        for train in (apart, relabelled(apart))
    )
    np.testing.assert_allclose(
        before.similarity["aa"].toarray(), after.similarity["aa"].toarray(), atol=1e-6
    )
    assert not np.allclose(before.similarity["bb"].toarray(), after.similarity["bb"].toarray())


def test_every_stage_is_run_once_for_all_targets(split, tmp_path):
    options = RunOptions(seed=1, threads=1, workspace=tmp_path)
    for target in split.train.markets:
        model = build_tiny(M3Rec, options)
        model.fit(split.train, target=target, valid=split.valid)
    assert len(options.memory) == 3
    kinds = sorted(folder.name.rsplit("-", 1)[0] for folder in tmp_path.iterdir())
    assert kinds == ["all-m3rec", "all-skip-gram"]
    again = build_tiny(M3Rec, RunOptions(seed=1, threads=1, workspace=tmp_path))
    again.fit(split.train, target=TARGET, valid=split.valid)
    assert again._fitted.trained.seconds == []
    last = build_tiny(M3Rec, options).fit(split.train, target=TARGET, valid=split.valid)
    users = np.arange(18)
    np.testing.assert_array_equal(again.score(users), last.score(users))


def test_epochs_of_both_stages_are_settled_by_validation(split, best_at_two):
    model = build_tiny(M3Rec, fresh(), epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    settled = model.settled().config
    assert (settled.epochs, settled.skip_gram.epochs) == (2, 2)
