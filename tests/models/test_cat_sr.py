"""CAT-SR against its equations; what is carried over, frozen and shared."""

import math

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from tests.learning import fit_blocks
from tests.models.encoding import encode, layer_norm
from tests.models.networks import arrays, randomise
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny

from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.cat_sr import model as module
from crossmarket.models.cat_sr.model import CatSR
from crossmarket.models.cat_sr.network import CatSRNetwork, CatSRNetworkConfig
from crossmarket.models.cat_sr.prefixes import PrefixSampler, rarity_weights
from crossmarket.models.lightgcn import LightGCN
from crossmarket.training.histories import Histories
from crossmarket.training.options import RunOptions

ITEMS = PAD = 7
#: Tiny settings bring the pre-training back that the preset leaves out.
RELEASED = {"pretraining": None}
FAST = {
    "vectors": {"embedding_size": 16, "learning_rate": 0.05, "epochs": 30, "num_negatives": 8},
    "pretraining": {"learning_rate": 5e-3, "epochs": 20},
    "learning_rate": 5e-3,
    "dropout": 0.0,
}


def config_of(**more):
    values = {"num_heads": 2, "inner_size": 5, "max_length": 6, "batch_size": 64, **more}
    return CatSRNetworkConfig(**values)


def network_of(*, adapters=True, num_items=ITEMS, **more):
    vectors = torch.randn(num_items, 4, generator=torch.Generator().manual_seed(2))
    return randomise(CatSRNetwork(vectors, config_of(**more), adapters=adapters))


def encoded_by_hand(state, sequence, *, adapters):
    x = state["vectors"][sequence] + state["positions.weight"][: len(sequence)]
    return encode(state, "layer", layer_norm(state, "norm", x), 2, causal=True, adapters=adapters)


def new_options(**more):
    return RunOptions(seed=3, threads=1, **more)


# -- equations --------------------------------------------------------------------------------


@pytest.mark.parametrize("adapters", [True, False])
def test_scores_are_products_of_the_last_output_and_the_vectors(adapters):
    network = network_of(adapters=adapters)
    state = arrays(network)
    histories = [[4, 1, 6, 0], [3, 2]]
    padded = torch.tensor([[PAD, 4, 1, 6, 0], [PAD, PAD, PAD, 3, 2]])
    table, bias = network.output()
    assert bias is None
    found = (network.next_vectors(padded) @ table.T).detach()
    for row, history in enumerate(histories):
        last = encoded_by_hand(state, history, adapters=adapters)[-1]
        np.testing.assert_allclose(
            found[row], state["vectors"][:ITEMS] @ last, rtol=1e-3, atol=1e-4
        )


def test_one_pass_gives_what_each_prefix_gives_alone():
    network = network_of()
    whole = torch.tensor([[PAD, PAD, 3, 2, 5], [4, 1, 6, 0, 2]])
    outputs = network.encode(whole).detach()
    for end in range(3, 6):
        alone = network.next_vectors(whole[:, :end]).detach()
        torch.testing.assert_close(outputs[:, end - 1], alone)


def test_rare_targets_weigh_most():
    weights = rarity_weights(np.array([0, 1, 2, 3, 50]), 1.2, 0.99)
    expected = [1.2, 1.2, 1.2 - math.tanh(0.99), 1.2 - math.tanh(1.98), 0.2]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert (rarity_weights(np.arange(5), 1.2, 0.0) == np.float32(1.2)).all()


@pytest.mark.parametrize("markets", [(TARGET,), ("aa", "cc")])
@pytest.mark.parametrize("longest", [2, 6])
def test_the_loss_is_that_of_every_prefix_among_its_markets_items(split, markets, longest):
    nodes = map_nodes(split.train, split.train.markets)
    config = config_of(max_length=longest, batch_size=5)
    network = network_of(num_items=len(nodes.items), max_length=longest)
    state = arrays(network)
    rng = np.random.default_rng(1)
    weights = rng.uniform(0.2, 1.2, len(nodes.items)).astype(np.float32)
    sampler = PrefixSampler(split.train, nodes, markets, weights, config, "cpu")
    catalogues = [
        (nodes.item_nodes(split.train.catalogue(name)) - nodes.num_users).tolist()
        for name in markets
    ]
    prefixes = 0
    for batch in sampler.batches(np.random.default_rng(0)):
        items = batch.items.tolist()
        assert items in catalogues
        targets = iter(batch.targets.tolist())
        total = norm = 0.0
        for sequence in batch.sequences.tolist():
            real = [item for item in sequence if item != len(nodes.items)]
            for output in encoded_by_hand(state, real, adapters=True):
                target = next(targets)
                weight = weights[items[target]]
                total -= weight * log_softmax(state["vectors"][items] @ output)[target]
                norm += weight
                prefixes += 1
        assert next(targets, None) is None
        found = batch.losses(network)["loss"].item()
        assert found == pytest.approx(total / norm, rel=1e-3)
    lengths = Histories.of(split.train, nodes, markets).lengths
    assert prefixes == np.minimum(np.maximum(lengths - 1, 0), longest).sum()


# -- learning and transfer --------------------------------------------------------------------


@pytest.mark.parametrize("preset", ["default", "as-released"])
def test_it_learns_which_block_a_user_buys_from(preset):
    values = {**FAST, **RELEASED} if preset == "as-released" else FAST
    model, data = fit_blocks(CatSR, values, preset=preset)
    table = model.recommend(list(data.users(TARGET).ids), k=1, exclude_seen=False)
    assert [item[1] for item in table["item_id"]] == [name[1] for name in table["user_id"]]
    losses = [record["loss"] for record in model._fitted.trained.history[1:]]
    assert losses[-1] < math.log(4) < losses[0]  # better than a blind guess within the block


def test_queries_and_keys_are_carried_over_after_the_start_and_stay_as_they_are(split):
    model = build_tiny(CatSR, new_options(), values={"learning_rate": 0.1})
    model.fit(split.train, target=TARGET)
    source = model._pretrained.network.state_dict()
    network = model._fitted.network
    fresh = CatSRNetwork(network.output()[0], model.config, adapters=True).state_dict()
    carried = [name for name in source if ".query." in name or ".key." in name]
    assert len(carried) == 4
    trainable = {name for name, part in network.named_parameters() if part.requires_grad}
    for name, value in network.state_dict().items():
        if name in carried:
            assert torch.equal(value, source[name])
            assert name not in trainable
        elif name != "vectors":
            assert name not in source or not torch.equal(value, source[name])
            assert name in trainable
    assert not torch.equal(source[carried[0]], fresh[carried[0]])
    frozen = sum(source[name].numel() for name in carried)
    everything = sum(part.numel() for part in network.parameters())
    assert model.num_trainable() == everything - frozen


def test_the_target_starts_from_the_carried_weights(split):
    """With no epoch on the target nothing but what was carried over differs from a new start."""
    values = {"pretraining": {"learning_rate": 0.05}, "epochs": 0}
    model = build_tiny(CatSR, new_options(), values=values).fit(split.train, target=TARGET)
    without = build_tiny(CatSR, new_options(), values={"pretraining": None, "epochs": 0})
    without.fit(split.train, target=TARGET)
    own, other = (each._fitted.network.state_dict() for each in (model, without))
    differing = {name for name in own if not torch.equal(own[name], other[name])}
    assert differing >= {"layer.attention.query.weight", "layer.attention.key.weight"}
    assert all(".query." in name or ".key." in name for name in differing)


def test_the_item_vectors_are_lightgcns_and_frozen(split):
    options = new_options()
    values = {"vectors": {"num_layers": 2}}
    model = build_tiny(CatSR, options, "default", values).fit(split.train, target=TARGET)
    graph = build_tiny(LightGCN, options, "default", {"num_layers": 2, "markets": "merged"})
    graph.fit(split.train, target=TARGET)
    found = model._fitted.network.vectors
    np.testing.assert_allclose(found[:-1], graph._item_vectors, rtol=1e-5, atol=1e-6)
    assert not found[-1].any()
    assert not found.requires_grad
    np.testing.assert_allclose(np.linalg.norm(found[:-1], axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("preset", "transfers"), [("default", True), ("no-adapters", True), ("as-released", False)]
)
def test_the_sources_reach_the_target_through_queries_and_keys(monkeypatch, preset, transfers):
    """The item vectors are held fixed here: they are the other way."""
    data = two_markets(shared=False)
    rng = torch.Generator().manual_seed(0)
    vectors = torch.randn(24, 8, generator=rng)
    real = CatSR._item_vectors
    monkeypatch.setattr(CatSR, "_item_vectors", lambda *args: (real(*args), vectors)[1])
    scores = []
    for part in (data, relabelled(data, "aa")):
        values = {"learning_rate": 0.05, **({} if transfers else RELEASED)}
        model = build_tiny(CatSR, new_options(), preset, values)
        scores.append(model.fit(part, target="bb").score(np.arange(10)))
    assert np.array_equal(*scores) == (not transfers)


def test_the_sources_reach_the_target_through_the_vectors_in_any_case():
    data = two_markets(shared=True)
    scores = []
    for part in (data, relabelled(data, "aa")):
        model = build_tiny(CatSR, new_options(), "as-released", RELEASED).fit(part, target="bb")
        scores.append(model.score(np.arange(10)))
    assert not np.allclose(*scores, rtol=1e-3)


# -- options ----------------------------------------------------------------------------------


def test_pre_training_is_shared_where_it_does_not_depend_on_the_target(split):
    for preset, pretrained in (("all-markets", 1), ("default", 3), ("as-released", 0)):
        options = new_options()
        hashes = set()
        for target in split.train.markets:
            values = RELEASED if preset == "as-released" else {}
            model = build_tiny(CatSR, options, preset, values)
            model.fit(split.train, target=target, valid=split.valid)
            if model._pretrained is not None:
                hashes.add(model._pretrained.stage_hash)
        assert len(hashes) == pretrained
        assert len(options.memory) == 1 + pretrained + 3  # vectors, pre-trainings, targets


def test_pre_training_on_others_reads_no_row_of_the_target(split, monkeypatch):
    read = []
    real = module.PrefixSampler

    def sampler(train, nodes, markets, *more):
        read.append(tuple(markets))
        return real(train, nodes, markets, *more)

    monkeypatch.setattr(module, "PrefixSampler", sampler)
    build_tiny(CatSR, new_options()).fit(split.train, target=TARGET)
    build_tiny(CatSR, new_options(), "all-markets").fit(split.train, target=TARGET)
    assert read == [("aa", "cc"), (TARGET,), ("aa", "bb", "cc"), (TARGET,)]


def test_a_market_without_sources_trains_its_own_queries_and_keys(split):
    alone = split.train.select_markets([TARGET])
    model = build_tiny(CatSR, new_options()).fit(alone, target=TARGET)
    assert model._pretrained is None
    assert all(part.requires_grad for part in model._fitted.network.parameters())
    assert model.settled().config.pretraining is not None


def test_adapters_and_weights_can_be_left_out(split):
    fits = {}
    for preset in ("default", "no-adapters", "equal-weights"):
        fits[preset] = build_tiny(CatSR, new_options(), preset).fit(split.train, target=TARGET)
    names = {preset: set(fit._fitted.network.state_dict()) for preset, fit in fits.items()}
    assert {name.split(".")[2] for name in names["default"] - names["no-adapters"]} == {
        "query_adapter",
        "key_adapter",
    }
    plain, equal = (fits[preset]._pretrained.stage_hash for preset in ("default", "equal-weights"))
    assert plain != equal
    assert fits["default"]._pretrained.stage_hash == fits["no-adapters"]._pretrained.stage_hash


def test_scores_follow_the_history_that_is_set(split):
    model = build_tiny(CatSR, new_options()).fit(split.train, target=TARGET)
    users = np.arange(5)
    before, later = model.score(users), split.refit().train
    after = model.set_history(later).score(users)
    sizes = [np.diff(part.matrix(TARGET)[users].indptr) for part in (split.train, later)]
    assert (sizes[1] > sizes[0]).any()
    assert np.array_equal((before != after).any(axis=1), sizes[1] > sizes[0])


def test_settled_epochs_are_those_of_the_best_states(split, best_at_two):
    values = {"vectors": {"epochs": 4}, "pretraining": {"epochs": 4}}
    model = build_tiny(CatSR, new_options(), values=values, epochs=4)
    settled = model.fit(split.train, target=TARGET, valid=split.valid).settled().config
    assert (settled.vectors.epochs, settled.pretraining.epochs, settled.epochs) == (2, 2, 2)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UsageError, match=r"setting 'vectors'.*among 3 heads"):
        CatSR.from_config({"num_heads": 3, "vectors": {"embedding_size": 64}})
