"""DCCDR against its equations; the contrast is all that passes between the domains."""

import numpy as np
import pytest
import torch
from tests.graph.dense import dense_adjacency, dense_mean
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny, tiny_config

from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import map_domains
from crossmarket.models.dccdr.config import DCCDRConfig
from crossmarket.models.dccdr.model import DCCDR
from crossmarket.models.dccdr.network import DCCDRNetwork, contrast
from crossmarket.models.dccdr.steps import DualDomains
from crossmarket.models.tables import initial_table
from crossmarket.training.options import RunOptions

RATE = {"learning_rate": 0.05, "reg": 0.0, "embedding_size": 16, "num_layers": 1}


def case_of(train, **values):
    """A network of target and sources, and what draws its steps."""
    config = DCCDRConfig(**{**tiny_config(DCCDRConfig), "init_std": 0.7, **values})
    sources = [market for market in train.markets if market != TARGET]
    nodes = map_domains(train, [[TARGET], sources] if sources else [[TARGET]])
    table = initial_table(nodes, config, 0)
    network = DCCDRNetwork(table, nodes.graph_of(train), config.num_layers)
    return network, DualDomains(nodes, train, config, "cpu"), nodes, config


def first_step(domains, seed=2):
    return next(domains.batches(np.random.default_rng(seed)))


def contrast_by_loop(target, source, temperature):
    def near(x, y):
        return np.exp(x @ y / np.linalg.norm(x) / np.linalg.norm(y) / temperature)

    half = target.shape[1] // 2
    total = 0.0
    for i, (a, b) in enumerate(zip(target, source, strict=True)):
        positive = near(a[:half], b[:half])
        against = near(a[:half], a[half:]) + near(b[:half], b[half:]) + near(a[half:], b[half:])
        others = sum(near(a[:half], row[:half]) for j, row in enumerate(source) if j != i)
        total -= np.log(positive / (positive + against + others))
    return total


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_contrast_is_that_of_its_definition(count):
    target, source = torch.randn(2, count, 6, generator=torch.Generator().manual_seed(0))
    actual = contrast(target, source, 0.3).item()
    expected = contrast_by_loop(target.double().numpy(), source.double().numpy(), 0.3)
    assert actual == pytest.approx(expected, rel=1e-5)


def test_the_contrast_tells_its_two_sides_apart():
    """The negatives are other items of the source, so the sides may not be swapped."""
    target, source = torch.randn(2, 5, 6, generator=torch.Generator().manual_seed(0))
    one, other = contrast(target, source, 0.3), contrast(source, target, 0.3)
    assert one.item() != pytest.approx(other.item(), rel=1e-3)


def layers_by_hand(train, nodes, table, num_layers):
    users, items = nodes.edges_of(train, nodes.markets)
    edges = (users, items - nodes.num_users, nodes.num_users, len(nodes.items))
    adjacency = dense_adjacency(*edges)
    mean = dense_mean(adjacency, table, num_layers)
    return mean, np.linalg.matrix_power(adjacency, num_layers) @ table


@pytest.mark.parametrize("markets", [[TARGET], ["aa", TARGET], ["aa", TARGET, "cc"]])
@pytest.mark.parametrize("alpha", [0.0, 0.05])
def test_the_loss_is_that_of_the_equations(split, markets, alpha):
    train = split.train.select_markets(markets)
    network, domains, nodes, config = case_of(
        train, alpha=alpha, reg=0.1, num_negatives=2, num_layers=2
    )
    step = first_step(domains)
    mean, last = layers_by_hand(
        train, nodes, network.table.detach().double().numpy(), config.num_layers
    )
    positives = step.pairs.positives
    negatives = step.pairs.index.rows[2 * len(positives.users) :].reshape(-1, 2).numpy()
    table = network.table.detach().double().numpy()
    split_at = len(split.train.users(TARGET))
    expected = 0.0
    sides = [positives.users < split_at, positives.users >= split_at]
    for side in sides[: 2 if len(markets) > 1 else 1]:
        assert side.sum() == sides[0].sum()
        for row in np.flatnonzero(side):
            user, item = positives.users[row], positives.items[row]
            margins = [mean[user] @ (mean[item] - mean[other]) for other in negatives[row]]
            ranking = np.mean([np.log1p(np.exp(-margin)) for margin in margins])
            used = [user, item, *negatives[row]]
            expected += (ranking + config.reg * (table[used] ** 2).sum()) / side.sum()
    if alpha:
        target, source = np.split(last[step.shared.rows.numpy()], 2)
        assert bool(len(target)) == (len(markets) > 1)
        expected += alpha * contrast_by_loop(target, source, config.contrast_temperature)
    losses = domains.losses(network, step)
    assert losses["loss"].item() == pytest.approx(expected, rel=1e-4)
    assert ("contrast" in losses) == (alpha > 0)


@pytest.mark.parametrize("num_layers", [0, 1, 3])
def test_layers_are_dense_powers_and_so_is_their_gradient(split, num_layers):
    network, _, nodes, _ = case_of(split.train, num_layers=num_layers)
    weights = torch.randn(2, *network.table.shape, generator=torch.Generator().manual_seed(1))
    mean, last = network.layers()
    (mean * weights[0] + last * weights[1]).sum().backward()
    exact = network.table.detach().double().numpy()
    for actual, expected in zip(
        (mean, last), layers_by_hand(split.train, nodes, exact, num_layers), strict=True
    ):
        np.testing.assert_allclose(actual.detach(), expected, rtol=1e-4, atol=1e-5)
    first = layers_by_hand(split.train, nodes, weights[0].double().numpy(), num_layers)[0]
    second = layers_by_hand(split.train, nodes, weights[1].double().numpy(), num_layers)[1]
    np.testing.assert_allclose(network.table.grad, first + second, rtol=1e-4, atol=1e-5)


def test_a_step_contrasts_the_items_of_its_positives_that_both_domains_bought(split):
    _, domains, nodes, _ = case_of(split.train, batch_size=7)
    bought = {m: set(split.train.edges(m).items.tolist()) for m in split.train.markets}
    both = bought[TARGET] & (bought["aa"] | bought["cc"])
    start, end = nodes.domains[TARGET]
    for step in domains.batches(np.random.default_rng(0)):
        places = step.shared.rows.numpy() - nodes.num_users
        target, source = np.split(places, 2)
        assert np.all((start <= target) & (target < end))
        assert np.all(source >= end)
        items = nodes.items[target]
        np.testing.assert_array_equal(items, nodes.items[source])
        here = set(nodes.items[step.pairs.positives.items - nodes.num_users].tolist())
        assert set(items.tolist()) == here & both
        assert len(items) == len(set(items))


def test_a_step_contrasts_no_more_items_than_asked(split):
    _, domains, _, _ = case_of(split.train, contrast_items=3)
    shared = [len(step.shared.rows) for step in domains.batches(np.random.default_rng(0))]
    assert shared == [6] * len(shared)


def test_an_epoch_passes_over_the_larger_domain_and_the_smaller_starts_over(split):
    _, domains, nodes, config = case_of(split.train, batch_size=50)
    sizes = {m: len(split.train.edges(m)) for m in split.train.markets}
    larger = sizes["aa"] + sizes["cc"]
    assert sizes[TARGET] < larger
    users, items = [], []
    for step in domains.batches(np.random.default_rng(0)):
        users.append(step.pairs.positives.users)
        items.append(step.pairs.positives.items)
        own = (users[-1] < len(split.train.users(TARGET))).sum()
        assert 2 * own == len(users[-1])
    assert len(users) == -(-larger // config.batch_size)
    pairs = np.concatenate(users) * nodes.num_nodes + np.concatenate(items)
    _, counts = np.unique(pairs, return_counts=True)
    assert len(counts) == sum(sizes.values())
    rounds = larger // sizes[TARGET]
    assert rounds >= 2
    assert set(counts.tolist()) == {1, rounds, rounds + 1}


@pytest.mark.parametrize("preset", ["paper", "no-contrast"])
def test_it_learns_what_it_sees(preset):
    model, blocks = fit_blocks(DCCDR, RATE, preset=preset)
    assert hits_at_one(model, blocks) == 1
    assert ranked_on_top(model, blocks).all()


def test_without_training_it_could_not():
    model, blocks = fit_blocks(DCCDR, RATE, epochs=0)
    assert ranked_on_top(model, blocks).mean() < 0.5


@pytest.mark.parametrize(
    ("values", "shared", "changed"),
    [({}, True, True), ({}, False, False), ({"alpha": 0.0}, True, False)],
)
def test_the_source_is_felt_through_the_contrast_alone(values, shared, changed):
    """Other purchases in the source: the target's own loss and its random draws are the same."""
    data = two_markets(shared=shared)
    scores = []
    for train in (data, relabelled(data, "aa")):
        network, domains, nodes, _ = case_of(train, reg=0.0, **{"alpha": 0.1, **values})
        step = first_step(domains)
        domains.losses(network, step)["loss"].backward()
        own = np.arange(nodes.domains[TARGET][1]) + nodes.num_users
        rows = np.concatenate([np.arange(len(train.users(TARGET))), own])
        scores.append(network.table.grad[rows].numpy())
    assert np.abs(scores[0]).max() > 0
    assert np.allclose(*scores, rtol=1e-5, atol=1e-7) != changed


def test_a_fit_without_shared_items_is_one_without_contrast():
    data = two_markets(shared=False)
    scores = []
    for alpha in (0.5, 0.0):
        options = RunOptions(seed=1, threads=1)
        model = build_tiny(DCCDR, options, values={"alpha": alpha, "learning_rate": 0.05})
        scores.append(model.fit(data, target=TARGET).score(np.arange(10)))
    np.testing.assert_allclose(*scores, rtol=1e-5, atol=1e-7)


def test_scores_are_inner_products_of_the_targets_vectors(split, options):
    model = build_tiny(DCCDR, options).fit(split.train, target=TARGET)
    (fitted,) = options.memory.values()
    _, _, nodes, config = case_of(split.train)
    table = fitted.network.table.detach().double().numpy()
    vectors, _ = layers_by_hand(split.train, nodes, table, config.num_layers)
    users = nodes.user_nodes(TARGET, np.arange(len(split.train.users(TARGET))))
    items = nodes.item_nodes(split.train.catalogue(TARGET), TARGET)
    expected = vectors[users] @ vectors[items].T
    np.testing.assert_allclose(model.score(np.arange(len(users))), expected, rtol=1e-4, atol=1e-5)


def test_every_target_is_trained_for_itself_and_once(split, options):
    fits = {}
    for target in (*split.train.markets, TARGET):
        fits[target] = build_tiny(DCCDR, options).fit(split.train, target=target, valid=split.valid)
    assert len(options.memory) == 3
    for target, model in fits.items():
        sources = [market for market in split.train.markets if market != target]
        sold = len(np.unique(np.concatenate([split.train.catalogue(m) for m in sources])))
        users = sum(len(split.train.users(market)) for market in split.train.markets)
        assert model.num_trainable() == (users + len(split.train.catalogue(target)) + sold) * 8


@pytest.mark.usefixtures("best_at_two")
def test_settled_epochs_are_those_of_the_best_state(split, options):
    model = build_tiny(DCCDR, options, epochs=7)
    model.fit(split.train, target=TARGET, valid=split.valid)
    assert model.settled().get_config() == {**model.get_config(), "epochs": 2}


def test_a_vector_must_have_two_halves():
    with pytest.raises(UsageError, match=r"setting 'embedding_size'.*multiple of 2"):
        DCCDR.from_config({"embedding_size": 7})
