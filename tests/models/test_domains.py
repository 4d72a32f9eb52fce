"""What the systems of two domains share; each is also compared with its equations elsewhere."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from tests.learning import fit_blocks, hits_at_one
from tests.models.networks import randomise
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny, toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models import ddtcdr
from crossmarket.models.conet import CoNet
from crossmarket.models.ddtcdr import DDTCDR
from crossmarket.models.domains import SOURCE, DomainNetwork, Domains
from crossmarket.models.domains import TARGET as OWN
from crossmarket.models.dtcdr import DTCDR
from crossmarket.models.gmf import GMFNetwork
from crossmarket.models.network import FittedNetwork
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler
from crossmarket.training.stage import TrainedState

SETTINGS = {"learning_rate": 0.01, "reg": 0.0, "embedding_size": 16}
SYSTEMS = {
    "conet": (CoNet, {**SETTINGS, "hidden": (32, 16)}),
    "dtcdr": (DTCDR, {**SETTINGS, "dropout": 0.0}),
    "ddtcdr": (DDTCDR, {**SETTINGS, "dropout": 0.0, "gmf": {"learning_rate": 0.05}}),
}
#: Epochs in which each learns the toy.
EPOCHS = {"conet": 150, "dtcdr": 150, "ddtcdr": 40}
#: Settings without what connects the domains.
APART = {"conet": {"num_cross": 0}, "dtcdr": {"combine": "none"}, "ddtcdr": {"transfer": 0.0}}


class Additive(DomainNetwork):
    """A logit that shows which tower gave it."""

    weights = (0.25, 0.75)

    def tower_logits(self, users, items, domain):
        return users * 0.1 - items * 0.2 + domain

    def penalty(self):
        return torch.tensor(3.0)


def examples_of(train, nodes, size=400):
    sampler = ExampleSampler(PositiveSampler(train, nodes), 2)
    return next(sampler.batches(size, np.random.default_rng(0)))


def test_the_bridge_is_what_the_target_and_another_market_sell():
    train = toy_split().train
    nodes = map_nodes(train, train.markets)
    for target in train.markets:
        domains = Domains.of(train, nodes, target)
        own = set(train.catalogue(target).tolist())
        others = {
            item
            for market in train.markets
            if market != target
            for item in train.catalogue(market).tolist()
        }
        expected = [item in own and item in others for item in nodes.items.tolist()]
        assert domains.bridge.tolist() == expected
        assert 0 < sum(expected) < len(expected)
        assert nodes.markets[domains.place] == target
    alone = train.select_markets([TARGET])
    assert not Domains.of(alone, map_nodes(alone, [TARGET]), TARGET).bridge.any()


@pytest.mark.parametrize("markets", [("bb",), ("bb", "cc"), ("aa", "bb", "cc")])
def test_each_domain_is_judged_by_its_tower_and_weighs_what_it_should(markets):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    network = Additive(Domains.of(train, nodes, TARGET))
    examples = examples_of(train, nodes)
    entropies = {OWN: [], SOURCE: []}
    for start, end, market in examples.runs:
        domain = OWN if markets[market] == TARGET else SOURCE
        for row in range(start, end):
            logit = float(examples.users[row]) * 0.1 - float(examples.items[row]) * 0.2 + domain
            right = expit(logit if examples.labels[row] else -logit)
            entropies[domain].append(-np.log(right))
    expected = 3.0 + 0.25 * np.mean(entropies[OWN])
    if len(markets) > 1:
        expected += 0.75 * np.mean(entropies[SOURCE])
    np.testing.assert_allclose(network.losses(examples)["loss"], expected, rtol=1e-4)
    place = markets.index(TARGET)
    users, items = torch.tensor([3]), torch.tensor([5])
    for market in range(len(markets)):
        logit = network(users, items, market)
        np.testing.assert_allclose(logit, [0.3 - 1.0 + (market != place)], rtol=1e-5)


@pytest.mark.parametrize("name", SYSTEMS)
def test_it_learns_the_blocks(name):
    model_class, values = SYSTEMS[name]
    model, data = fit_blocks(model_class, {**values, "batch_size": 128}, epochs=EPOCHS[name])
    assert hits_at_one(model, data) == 1
    losses = [record["loss"] for record in model._fitted.trained.history[1:]]
    assert np.mean(losses[-3:]) < losses[0] / 4
    untrained, _ = fit_blocks(model_class, values, epochs=0)
    assert hits_at_one(untrained, data) < 0.6


def drawn_gmf(nodes, train, valid, config, options):
    network = randomise(GMFNetwork(nodes, config.embedding_size))
    return FittedNetwork(network, "drawn", TrainedState({}, [], 0))


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_sources_reach_the_target_through_shared_items_alone(name, monkeypatch):
    """One step an epoch and the target first: its own examples are the same whatever is sold."""
    model_class, values = SYSTEMS[name]
    # The vectors that DDTCDR starts from would be another way.
    monkeypatch.setattr(ddtcdr, "fit_gmf", drawn_gmf)

    def scores(data, more):
        more = {**values, **more}
        options = RunOptions(seed=1, threads=1)
        model = build_tiny(model_class, options, values=more, epochs=25, batch_size=100_000)
        found = model.fit(data, target="aa").score(np.arange(len(data.users("aa"))))
        assert found.std() > 1e-3
        return found

    shared, disjoint = two_markets(shared=True), two_markets(shared=False)
    assert not np.allclose(scores(shared, {}), scores(relabelled(shared), {}), rtol=1e-4)
    np.testing.assert_array_equal(
        scores(shared, APART[name]), scores(relabelled(shared), APART[name])
    )
    np.testing.assert_array_equal(scores(disjoint, {}), scores(relabelled(disjoint), {}))
