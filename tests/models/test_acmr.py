"""ACMR against its equations; what its two stages read, share and leave alone."""

import numpy as np
import pytest
import torch
from tests.learning import TARGET as BLOCK_TARGET
from tests.learning import fit_blocks, hits_at_one
from tests.models.networks import arrays, randomise, relu
from tests.models.transfer import relabelled, two_markets
from tests.toys import TARGET, build_tiny, dataset_of

from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.acmr import sequences
from crossmarket.models.acmr.model import ACMR
from crossmarket.models.acmr.network import ACMRNetwork, ACMRNetworkConfig
from crossmarket.models.acmr.sequences import HistoryExamples, HistoryExampleSampler
from crossmarket.models.network import FittedNetwork
from crossmarket.training.histories import Histories
from crossmarket.training.options import RunOptions

SMALL = {"embedding_size": 6, "num_heads": 3, "num_layers": 2, "dropout": 0.0}
NO_FINE_TUNING = {"fine_tuning": None}


def norm(x, state, name):
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
    scaled = (x - x.mean(axis=-1, keepdims=True)) / spread
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x, state, name):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def weights_of(x, state, name, heads):
    """Attention of each head."""
    q, k, _ = np.split(linear(x, state, f"{name}.projection"), 3, axis=1)
    found = []
    for a, b in zip(*(np.split(part, heads, axis=1) for part in (q, k)), strict=True):
        weights = np.exp(a @ b.T / np.sqrt(a.shape[1]))
        found.append(weights / weights.sum(axis=1, keepdims=True))
    return found


def attention(x, state, name, heads):
    values = np.split(np.split(linear(x, state, f"{name}.projection"), 3, axis=1)[2], heads, axis=1)
    weights = weights_of(x, state, name, heads)
    mixed = [own @ value for own, value in zip(weights, values, strict=True)]
    return linear(np.concatenate(mixed, axis=1), state, f"{name}.output")


def encoded(state, history, candidate, market, config, layers):
    """Equations (2)-(6) on one sequence, up to some layer."""
    x = state["items.weight"][[*history, candidate]]
    if config.market_embedding:
        x = x + state["markets.weight"][market]
    if config.normalise_input:
        x = norm(x, state, "norm")
    for layer in range(layers):
        name = f"encoder.layers.{layer}"
        x = norm(x + attention(x, state, name, config.num_heads), state, f"{name}.first_norm")
        thought = linear(relu(linear(x, state, f"{name}.inner")), state, f"{name}.outer")
        x = norm(x + thought, state, f"{name}.second_norm")
    return x


def by_hand(state, history, candidate, market, config):
    """Equations (2)-(8) on one sequence."""
    x = encoded(state, history, candidate, market, config, config.num_layers)
    user = x[:-1].mean(axis=0) if len(history) else np.zeros(x.shape[1])
    return linear(np.concatenate([user, x[-1]]), state, "output")[0]


@pytest.mark.parametrize(
    "values", [{}, {"market_embedding": False}, {"normalise_input": True}], ids=str
)
def test_logits_and_loss_are_those_of_the_equations(values):
    config = ACMRNetworkConfig(**SMALL, **values)
    network = randomise(ACMRNetwork(9, 3, config))
    state = arrays(network)
    past = [[4, 1, 7], [2], [], [8, 0, 3]]
    candidates = [[0, 5], [2, 8], [6, 6], [1, 4]]
    markets = [2, 0, 1, 2]
    padded = torch.tensor([[9] * (3 - len(items)) + items for items in past])
    batch = HistoryExamples(padded, torch.tensor(candidates), torch.tensor(markets))
    found = network(batch.histories, batch.candidates, batch.markets)
    expected = np.array(
        [
            [by_hand(state, history, candidate, market, config) for candidate in asked]
            for history, asked, market in zip(past, candidates, markets, strict=True)
        ]
    )
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-3, atol=1e-4)
    loss = (np.logaddexp(0, expected) - expected * [1, 0]).mean()
    assert batch.losses(network)["loss"].item() == pytest.approx(loss, rel=1e-3)


def test_padding_changes_nothing():
    network = randomise(ACMRNetwork(9, 1, ACMRNetworkConfig(**SMALL)))
    candidates, market = torch.tensor([[0, 5, 2]]), torch.tensor([0])
    bare = network(torch.tensor([[4, 1, 7]]), candidates, market)
    padded = network(torch.tensor([[9, 9, 4, 1, 7]]), candidates, market)
    torch.testing.assert_close(padded, bare, rtol=1e-4, atol=1e-5)
    shuffled = network(torch.tensor([[7, 4, 1]]), candidates, market)  # a set, not a sequence
    torch.testing.assert_close(shuffled, bare, rtol=1e-4, atol=1e-5)


# -- training examples ------------------------------------------------------------------------


def sampler_of(data, markets, **values):
    nodes = map_nodes(data, data.markets)
    histories = Histories.of(data, nodes, markets)
    config = ACMRNetworkConfig(batch_size=40, **values)
    return nodes, HistoryExampleSampler(data, nodes, markets, histories, config, "cpu")


@pytest.mark.parametrize("leaky", [False, True])
@pytest.mark.parametrize("sampling", ["proportional", "equal", "one"])
def test_every_positive_is_asked_about_with_the_rest_of_its_history(split, leaky, sampling):
    markets = ["bb", "cc"]
    nodes, sampler = sampler_of(split.train, markets, leaky_history=leaky, sampling=sampling)
    pad, asked = len(nodes.items), set()
    own = {}
    for market in markets:
        for row in split.train.matrix(market)[:, nodes.items].toarray():
            own.setdefault(nodes.markets.index(market), []).append(set(np.flatnonzero(row)))
    for batch in sampler.batches(np.random.default_rng(0)):
        for past, candidates, market in zip(
            batch.histories.tolist(), batch.candidates.tolist(), batch.markets.tolist(), strict=True
        ):
            history = set(past) - {pad}
            assert (candidates[0] in history) == leaky
            assert history | {candidates[0]} in own[market]
            assert not set(candidates[1:]) & (history | {candidates[0]})
            asked.add((market, frozenset(history), candidates[0]))
    distinct = {
        (market, frozenset(items if leaky else items - {item}), item)
        for market, users in own.items()
        for items in users
        for item in items
    }
    assert asked == distinct


@pytest.mark.parametrize(("negatives", "foreign"), [("market", False), ("union", True)])
def test_negatives_are_of_the_market_or_of_all(split, negatives, foreign):
    nodes, sampler = sampler_of(split.train, ["aa", "bb"], negatives=negatives)
    generator = np.random.default_rng(0)
    found = set()
    for batch in sampler.batches(generator):
        rows = batch.markets == nodes.markets.index("bb")
        found |= set(nodes.items[batch.candidates[rows].numpy().ravel()].tolist())
    assert bool(found - set(split.train.catalogue("bb").tolist())) == foreign


def test_batches_hold_histories_of_similar_length(split):
    rng = np.random.default_rng(0)
    rows = [
        ("aa", f"u{user:03d}", f"i{item:02d}")
        for user in range(120)
        for item in rng.choice(40, size=rng.integers(2, 30), replace=False)
    ]
    nodes, sampler = sampler_of(dataset_of(rows), ["aa"])
    batches = list(sampler.batches(rng))
    padding = sum((batch.histories == len(nodes.items)).sum().item() for batch in batches)
    assert padding / sum(batch.histories.numel() for batch in batches) < 0.1


# -- stages -----------------------------------------------------------------------------------


def states(model):
    return {name: tensor.clone() for name, tensor in model._network.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_pre_training_is_shared_and_fine_tuning_leaves_it_alone(split, options):
    models = [
        build_tiny(ACMR, options).fit(split.train, target=target, valid=split.valid)
        for target in ("aa", "bb")
    ]
    trainings = [found for found in options.memory.values() if isinstance(found, FittedNetwork)]
    assert len(trainings) == 3
    assert models[0]._pretrained is models[1]._pretrained
    assert models[0]._pretrained.network is not models[0]._network
    alone = build_tiny(ACMR, RunOptions(seed=3, threads=1), values=NO_FINE_TUNING)
    alone.fit(split.train, target="cc", valid=split.valid)
    assert same(states(alone), models[0]._pretrained.network.state_dict())


def test_fine_tuning_starts_where_pre_training_ended(split, options):
    values = {"fine_tuning": {"epochs": 0}}
    model = build_tiny(ACMR, options, values=values).fit(split.train, target=TARGET)
    pretrained = build_tiny(ACMR, options, "no-fine-tuning", NO_FINE_TUNING)
    pretrained.fit(split.train, target=TARGET)
    assert pretrained._tuned is None
    assert same(states(model), states(pretrained))
    users = np.arange(5)
    np.testing.assert_array_equal(model.score(users), pretrained.score(users))
    tuned = build_tiny(ACMR, options).fit(split.train, target=TARGET)
    assert tuned._pretrained is model._pretrained
    assert not same(states(tuned), states(pretrained))


def fitted(data, options, **values):
    options = RunOptions(seed=options.seed, threads=1)
    return build_tiny(ACMR, options, values=values).fit(data, target=TARGET)


@pytest.mark.parametrize("shared", [True, False])
def test_the_source_reaches_the_target(options, shared):
    """Through shared items, and through the layers even where no item is shared."""
    data = two_markets(shared=shared)
    other = relabelled(data, "aa")
    users = np.arange(10)
    for values, reaches in ({}, True), ({"markets": "target"}, False):
        before = fitted(data, options, **values).score(users)
        after = fitted(other, options, **values).score(users)
        assert np.allclose(before, after, rtol=1e-5, atol=1e-6) != reaches


def test_pre_training_can_leave_the_target_out(options):
    data = two_markets(shared=True)
    other = relabelled(data)
    for values, reads in ({}, True), ({"pretrain_target": False}, False):
        before, after = (
            states(fitted(part, options, **values, **NO_FINE_TUNING)) for part in (data, other)
        )
        assert same(before, after) != reads
    tuned = [states(fitted(part, options, pretrain_target=False)) for part in (data, other)]
    assert not same(*tuned)


def test_without_other_markets_only_fine_tuning_is_left(options):
    data = two_markets(shared=True).select_markets([TARGET])
    model = fitted(data, options, pretrain_target=False)
    assert model._pretrained is None
    assert model._tuned is not None
    assert np.isfinite(model.score(np.arange(10))).all()
    assert model.settled().config.epochs == model.config.epochs


def test_the_market_vectors_are_left_out_on_demand(options):
    data = two_markets(shared=True)
    with_them = fitted(data, options)
    without = fitted(data, options, market_embedding=False)
    assert with_them._network.markets.weight.shape == (2, 8)
    assert without._network.markets is None
    assert with_them.num_trainable() - without.num_trainable() == 2 * 8


# -- scoring ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(split):
    """Of random weights, so that every item of a history counts."""
    options = RunOptions(seed=3, threads=1)
    fitted = build_tiny(ACMR, options, epochs=0).fit(split.train, target=TARGET)
    randomise(fitted._network)
    return fitted


def test_scores_are_the_network_s_on_the_history_whatever_the_blocks(model, split, monkeypatch):
    users = np.arange(len(split.train.users(TARGET)))
    scores = model.score(users)
    state, config = arrays(model._network), model.config
    nodes = model._nodes
    place = nodes.markets.index(TARGET)
    for user in (0, 7, len(users) - 1):  # the last has no history
        history = np.searchsorted(nodes.items, split.train.matrix(TARGET)[[user]].indices)
        for column in (0, 11):
            candidate = np.searchsorted(nodes.items, model.catalogue[column])
            expected = by_hand(state, history.tolist(), int(candidate), place, config)
            assert scores[user, column] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    lists = np.stack([np.roll(model.catalogue, user)[:5] for user in users])
    for tokens in (1, 40, 10**6):
        monkeypatch.setattr(sequences, "_TOKEN_BLOCK", tokens)
        np.testing.assert_allclose(model.score(users), scores, rtol=1e-4, atol=1e-5)
        for user, row in enumerate(model.score_lists(users, lists)):
            columns = np.searchsorted(model.catalogue, lists[user])
            np.testing.assert_allclose(row, scores[user, columns], rtol=1e-4, atol=1e-5)


def test_attention_is_the_mean_over_heads_of_the_last_layer(model, split):
    state, config, nodes = arrays(model._network), model.config, model._nodes
    place, last = nodes.markets.index(TARGET), config.num_layers - 1
    candidate = int(model.catalogue[4])
    for user in (0, 7, len(split.train.users(TARGET)) - 1):  # the last has no history
        items, weights = model.attention(user, candidate)
        history = split.train.matrix(TARGET)[[user]].indices
        assert set(items[:-1]) == set(history)
        assert items[-1] == candidate
        tokens = np.searchsorted(nodes.items, items).tolist()
        x = encoded(state, tokens[:-1], tokens[-1], place, config, last)
        heads = weights_of(x, state, f"encoder.layers.{last}", config.num_heads)
        np.testing.assert_allclose(weights, np.mean(heads, axis=0), rtol=1e-3, atol=1e-5)


def test_item_vectors_are_the_tokens_of_the_market(model):
    state, nodes, items = arrays(model._network), model._nodes, model.catalogue[[5, 0]]
    own = state["markets.weight"][nodes.markets.index(TARGET)]
    expected = state["items.weight"][np.searchsorted(nodes.items, items)] + own
    np.testing.assert_allclose(model.item_vectors(items), expected, rtol=1e-5)


def test_a_new_history_is_what_is_scored_from(model, split):
    users = np.arange(len(split.train.users(TARGET)))
    before = model.score(users)
    later = split.refit().train
    try:
        model.set_history(later)
        bare = model.score_histories(later.matrix(TARGET))
        np.testing.assert_allclose(model.score(users), bare, rtol=1e-4, atol=1e-5)
        assert (np.abs(bare - before).max(axis=1) > 1e-4).all()
    finally:
        model.set_history(split.train)
    np.testing.assert_array_equal(model.score(users), before)


def test_long_histories_keep_the_newest_or_a_random_draw(split, options):
    def cut(**values):
        return fitted(split.train, options, max_length=3, epochs=0, **values)

    rows = split.train.matrix(TARGET)
    newest, random = cut(), cut(history_cut="random")
    edges = split.train.edges(TARGET)
    for user in range(4):
        own = edges.users == user
        order = np.lexsort((edges.items[own], edges.timestamps[own]))
        last = np.zeros(rows.shape[1])
        last[edges.items[own][order][-3:]] = 1
        alone = newest.score_histories(type(rows)(last[None]))
        np.testing.assert_allclose(newest.score(np.array([user])), alone, rtol=1e-4, atol=1e-5)
    kept = random._histories
    assert kept.lengths.max() == 3
    everything = Histories.of(split.train, random._nodes, (TARGET,))
    tails = heads = 0
    for node in np.flatnonzero(everything.lengths > 3):
        own = everything.items[everything.offsets[node] : everything.offsets[node + 1]].tolist()
        drawn = kept.items[kept.offsets[node] : kept.offsets[node + 1]].tolist()
        assert drawn == [item for item in own if item in drawn]
        tails += drawn == own[-3:]
        heads += own[0] in drawn
    assert heads > 0
    assert tails < (everything.lengths > 3).sum()


def test_heads_must_share_out_the_width():
    with pytest.raises(UsageError, match=r"setting 'num_heads': .*32 cannot be shared out among 5"):
        ACMR.from_config({"num_heads": 5})


# -- learning ---------------------------------------------------------------------------------


LEARNING = {
    "embedding_size": 16,
    "num_heads": 4,
    "num_layers": 2,
    "learning_rate": 0.01,
    "dropout": 0.0,
    "init_std": 0.3,
}


def test_it_learns_the_blocks():
    """A user's best item is of its block, though the missing one may come before its own."""
    model, data = fit_blocks(ACMR, LEARNING, epochs=30)
    scores = model.score(np.arange(len(data.users(BLOCK_TARGET))))
    blocks = np.array([int(item[1]) for item in data.items.take(model.catalogue)])
    users = np.array([int(user[1]) for user in data.users(BLOCK_TARGET).ids])
    own = users[:, None] == blocks
    assert (np.where(own, scores, np.inf).min(1) > np.where(own, -np.inf, scores).max(1)).all()
    top = model.recommend(list(data.users(BLOCK_TARGET).ids), k=1)
    assert all(
        item[1] == user[1] for user, item in zip(top["user_id"], top["item_id"], strict=True)
    )
    untrained, _ = fit_blocks(ACMR, LEARNING, epochs=0)
    assert hits_at_one(untrained, data) < 0.7


def test_with_the_leak_it_learns_what_was_bought():
    model, data = fit_blocks(ACMR, {**LEARNING, "leaky_history": True}, epochs=40)
    assert hits_at_one(model, data) == 1
