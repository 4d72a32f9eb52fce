"""BERT4Rec against its equations; masks, histories and whose sequences are learned."""

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from tests.learning import fit_blocks
from tests.models.encoding import encode, gelu, layer_norm, linear
from tests.models.networks import arrays, randomise
from tests.models.transfer import relabelled, two_markets
from tests.toys import DAY, TARGET, build_tiny, dataset_of

from crossmarket.errors import UsageError
from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.bert4rec.masking import MaskedSequenceSampler, choose_masked
from crossmarket.models.bert4rec.model import Bert4Rec
from crossmarket.models.bert4rec.network import Bert4RecConfig, Bert4RecNetwork
from crossmarket.models.top_lists import history_matrix
from crossmarket.training.histories import Histories
from crossmarket.training.options import RunOptions

ITEMS, PAD, MASK = 9, 9, 10
LEARNING = {
    "learning_rate": 5e-3,
    "dropout": 0.0,
    "embedding_size": 16,
    "inner_size": 32,
    "num_maskings": 4,
}


def network_of(**more):
    values = {"embedding_size": 6, "num_heads": 3, "inner_size": 8, "max_length": 5, **more}
    return randomise(Bert4RecNetwork(ITEMS, Bert4RecConfig(**values)))


def encoded_by_hand(state, sequence, *, normalised):
    """Encode the tokens of one sequence without padding; the newest has the last position."""
    places = state["positions.weight"][-len(sequence) :]
    x = state["items.weight"][sequence] + places
    if normalised:
        x = layer_norm(state, "norm", x)
    for layer in range(2):
        x = encode(state, f"layers.{layer}", x, 3)
    return x


def logits_by_hand(state, encoded):
    looked_for = gelu(linear(state, "head", encoded))
    return looked_for @ state["items.weight"][:ITEMS].T + state["bias"]


@pytest.mark.parametrize("normalised", [True, False])
def test_scores_are_the_logits_at_a_mask_behind_the_history(normalised):
    network = network_of(normalise_input=normalised)
    state = arrays(network)
    histories = [[4, 1, 7], [3], []]
    padded = torch.tensor([[4, 1, 7], [PAD, PAD, 3], [PAD] * 3])
    vectors = network.next_vectors(padded).detach()
    table, bias = network.output()
    found = (vectors @ table.T + bias).detach()
    for row, history in enumerate(histories):
        encoded = encoded_by_hand(state, [*history, MASK], normalised=normalised)
        expected = logits_by_hand(state, encoded[-1])
        np.testing.assert_allclose(found[row], expected, rtol=1e-3, atol=1e-4)


def test_the_loss_is_the_cross_entropy_of_the_masked_items_among_all():
    rows = [("aa", f"u{user}", f"i{item}", 1.0, DAY * (place + 1))
            for user, bought in enumerate([[4, 1, 7, 0], [3, 8], [5, 2, 6]])
            for place, item in enumerate(bought)]  # fmt: skip
    data = dataset_of(rows)
    nodes = map_nodes(data, ["aa"])
    config = Bert4RecConfig(
        embedding_size=6, num_heads=3, inner_size=8, max_length=5, num_maskings=2, batch_size=64
    )
    network = randomise(Bert4RecNetwork(ITEMS, config))
    (batch,) = MaskedSequenceSampler(data, nodes, config, "cpu").batches(np.random.default_rng(0))
    assert len(batch.sequences) == 3 * 3
    terms, targets = [], iter(batch.targets.tolist())
    for sequence in batch.sequences.tolist():
        real = [item for item in sequence if item != PAD]
        encoded = encoded_by_hand(arrays(network), real, normalised=True)
        for place, item in enumerate(real):
            if item == MASK:
                logits = logits_by_hand(arrays(network), encoded[place])
                terms.append(-log_softmax(logits)[next(targets)])
    assert next(targets, None) is None
    assert batch.losses(network)["loss"].item() == pytest.approx(np.mean(terms), rel=1e-4)


def test_a_share_of_the_items_is_masked_and_sometimes_the_last_alone():
    lengths = np.array([1, 2, 5, 9, 10, 10])
    real = np.arange(10) >= 10 - lengths[:, None]
    last_only = np.array([False, False, False, False, False, True])
    seen = np.zeros(real.shape)
    for seed in range(300):
        masked = choose_masked(real, 0.6, last_only, np.random.default_rng(seed))
        assert not masked[~real].any()
        assert masked.sum(axis=1).tolist() == [1, 1, 3, 5, 6, 1]
        assert masked[-1, -1]
        seen += masked
    assert seen[4] / 300 == pytest.approx(np.full(10, 0.6), abs=0.1)


def test_an_epoch_masks_each_sequence_so_often_and_once_at_its_end(split):
    nodes = map_nodes(split.train, split.train.markets)
    config = Bert4RecConfig(num_maskings=3, batch_size=7, max_length=4)
    sampler = MaskedSequenceSampler(split.train, nodes, config, "cpu")
    histories = Histories.of(split.train, nodes, split.train.markets)
    bought = {
        frozenset(histories.items[start:end][-4:].tolist())
        for start, end in zip(histories.offsets, histories.offsets[1:], strict=False)
    }
    count = 0
    for batch in sampler.batches(np.random.default_rng(0)):
        whole = batch.sequences.clone()
        whole.view(-1)[batch.places] = batch.targets
        assert (batch.sequences.view(-1)[batch.places] == histories.pad + 1).all()
        assert {frozenset(row) - {histories.pad} for row in whole.tolist()} <= bought
        count += len(whole)
    assert count == 4 * (histories.lengths > 0).sum()


@pytest.mark.parametrize("preset", ["single", "++"])
def test_it_learns_which_item_of_its_block_a_user_lacks(preset):
    """No item stands twice in a sequence: those a user has are not what is to be learned."""
    model, data = fit_blocks(Bert4Rec, LEARNING, preset=preset)
    table = model.recommend(list(data.users(TARGET).ids), k=1)
    for user, item in zip(table["user_id"], table["item_id"], strict=True):
        assert item == f"i{user[1]}-{int(user[3:]) % 4}"
    losses = [record["loss"] for record in model._fitted.trained.history[1:]]
    assert losses[-1] < losses[0] / 1.5


def test_a_longer_history_is_cut_to_its_newest_items(split):
    model = build_tiny(Bert4Rec, RunOptions(seed=3, threads=1), "single", {"max_length": 4})
    model.fit(split.train, target=TARGET)
    items = [f"i{number:02d}" for number in (12, 13, 20, 25, 30)]
    cut = history_matrix([items, items[2:], items[1:]], model.train.items)
    scores = model.score_histories(cut)
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-5)
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-5)


def test_scores_follow_the_history_that_is_set(split, options):
    model = build_tiny(Bert4Rec, options).fit(split.train, target=TARGET)
    users = np.arange(5)
    before = model.score(users)
    later = split.refit().train
    after = model.set_history(later).score(users)
    grown = np.diff(later.matrix(TARGET)[users].indptr) > np.diff(
        split.train.matrix(TARGET)[users].indptr
    )
    assert grown.any()
    assert np.array_equal((before != after).any(axis=1), grown)


def test_the_order_of_purchases_counts():
    rows = [(TARGET, f"u{user}", f"i{item}", 1.0, DAY * (place + 1))
            for user, bought in enumerate([[0, 1, 2, 3], [3, 2, 1, 0]])
            for place, item in enumerate(bought)]  # fmt: skip
    model = build_tiny(Bert4Rec, RunOptions(seed=3, threads=1)).fit(dataset_of(rows), target=TARGET)
    scores = model.score(np.arange(2))
    assert not np.allclose(scores[0], scores[1], rtol=1e-3)


@pytest.mark.parametrize("shared", [True, False])
def test_sources_reach_the_target_when_merged_only(shared):
    data = two_markets(shared=shared)
    scores = {}
    for preset in ("++", "single"):
        for name, part in (("as it is", data), ("relabelled", relabelled(data, "aa"))):
            model = build_tiny(Bert4Rec, RunOptions(seed=3, threads=1), preset, LEARNING)
            scores[preset, name] = model.fit(part, target=TARGET).score(np.arange(10))
    assert not np.allclose(scores["++", "as it is"], scores["++", "relabelled"], rtol=1e-3)
    assert np.array_equal(scores["single", "as it is"], scores["single", "relabelled"])


def test_one_merged_training_serves_every_target(split, options):
    for target in split.train.markets:
        model = build_tiny(Bert4Rec, options, "++")
        model.fit(split.train, target=target, valid=split.valid)
    assert len(options.memory) == 1
    for target in split.train.markets:
        build_tiny(Bert4Rec, options, "single").fit(split.train, target=target)
    assert len(options.memory) == 4


def test_settled_epochs_are_those_of_the_best_state(split, options, best_at_two):
    model = build_tiny(Bert4Rec, options, epochs=4)
    model.fit(split.train, target=TARGET, valid=split.valid)
    assert model.settled().config.epochs == 2


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UsageError, match=r"setting 'num_heads'.*among 3 heads"):
        Bert4Rec.from_config({"num_heads": 3})
