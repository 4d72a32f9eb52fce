"""Market-aware NMF: items scaled by a market vector, at the start an NMF."""

import numpy as np
import pytest
import torch
from tests.learning import fit_blocks, hits_at_one, ranked_on_top
from tests.models.test_nmf import NETWORKS
from tests.toys import TARGET, build_tiny, dataset_of

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.ma_nmf import (
    MarketAwareNMF,
    MarketGMFNetwork,
    MarketMLPNetwork,
    MarketNMFNetwork,
)
from crossmarket.models.nmf import NMF
from crossmarket.training.examples import ExampleSampler
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

STAGE = {"epochs": 2, "learning_rate": 0.05}
AWARE = {
    "gmf": lambda nodes: MarketGMFNetwork(nodes, 4),
    "mlp": lambda nodes: MarketMLPNetwork(nodes, 4, (6, 5, 3)),
    "nmf": lambda nodes: MarketNMFNetwork(nodes, 4, (6, 5, 3)),
}


@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
@pytest.mark.parametrize("name", AWARE)
def test_logits_are_those_of_a_network_whose_items_are_scaled(split, name, markets):
    nodes = map_nodes(split.train, markets)
    torch.manual_seed(0)
    network = AWARE[name](nodes)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    net = {key: value.numpy().astype(float) for key, value in network.state_dict().items()}
    sampler = ExampleSampler(PositiveSampler(split.train, nodes), 2)
    examples = next(sampler.batches(60, np.random.default_rng(0)))
    assert len(examples.runs) == len(markets)
    logit, expected = NETWORKS[name][1], []
    for start, end, market in examples.runs:
        scaled = {
            key: value * net["markets"][market] if "items" in key else value
            for key, value in net.items()
        }
        users, items = examples.users[start:end].tolist(), examples.items[start:end].tolist()
        expected += [logit(scaled, u, i) for u, i in zip(users, items, strict=True)]
    np.testing.assert_allclose(network.logits(examples).detach(), expected, rtol=1e-4, atol=1e-5)


def test_untrained_it_is_an_nmf(split, options):
    users = np.arange(len(split.train.users(TARGET)))
    scores = [
        build_tiny(model, options, epochs=0).fit(split.train, target=TARGET).score(users)
        for model in (MarketAwareNMF, NMF)
    ]
    np.testing.assert_allclose(*scores, rtol=1e-6)


def test_a_toy_is_learned_to_the_full():
    values = {"learning_rate": 0.03, "reg": 0.0, "batch_size": 64}
    model, data = fit_blocks(MarketAwareNMF, values, epochs=20)
    assert ranked_on_top(model, data).all()
    assert hits_at_one(model, data) == 1
    untrained, _ = fit_blocks(MarketAwareNMF, values, epochs=0)
    assert ranked_on_top(untrained, data).mean() < 0.5


def test_markets_that_want_the_same_item_differently_are_told_apart():
    """Markets buy opposite halves of one catalogue, so no item is good or bad in itself."""
    sold = [f"i{item}" for item in range(10)]
    rows = [
        (market, f"u{user}", item)
        for market, bought in (("aa", sold[:5]), ("bb", sold[5:]))
        for user in range(12)
        for place, item in enumerate(bought)
        if place != user % 5
    ]
    # One shopper of everything makes both catalogues whole.
    rows += [(market, "z", item) for market in ("aa", "bb") for item in sold]
    data = dataset_of(rows)
    values = {"gmf": None, "mlp": None, "reg": 0.0, "learning_rate": 0.05}
    model = build_tiny(MarketAwareNMF, RunOptions(seed=1, threads=1), values=values, epochs=40)
    vectors = model.fit(data, target="bb")._fitted.network.markets.detach()
    assert (vectors[0] - vectors[1]).abs().max() > 0.1
    assert hits_at_one(model, data) == 1


def test_each_training_starts_from_the_market_vectors_of_the_one_before(split, options):
    config = {"gmf": STAGE, "mlp": STAGE, "epochs": 0}
    model = MarketAwareNMF.from_config(config, options=options).fit(split.train, target=TARGET)
    gmf, mlp, nmf = (getattr(model._stages, name).network for name in ("gmf", "mlp", "nmf"))
    assert (gmf.markets - 1).abs().max() > 1e-3
    assert (mlp.markets - gmf.markets).abs().max() > 1e-3
    assert torch.equal(nmf.markets, mlp.markets)
    assert torch.equal(nmf.mlp_items.weight, mlp.items.weight)
    mlp.start_from(gmf)
    assert torch.equal(mlp.markets, gmf.markets)


def test_one_training_serves_all_targets_and_sources_matter(split, tmp_path):
    options = RunOptions(seed=3, threads=1, workspace=tmp_path)
    users = np.arange(len(split.train.users(TARGET)))
    for target in ("aa", TARGET):
        whole = build_tiny(MarketAwareNMF, options, learning_rate=0.05)
        whole.fit(split.train, target=target, valid=split.valid)
    kinds = sorted(path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir())
    assert kinds == ["all-ma-gmf", "all-ma-mlp", "all-ma-nmf"]
    source = split.train.edges("aa")
    shared = np.isin(source.items, split.train.catalogue(TARGET))
    cut = split.train.replace_edges({"aa": source.select(~shared)})
    other = build_tiny(MarketAwareNMF, options, learning_rate=0.05).fit(cut, target=TARGET)
    assert np.abs(other.score(users) - whole.score(users)).max() > 1e-3
