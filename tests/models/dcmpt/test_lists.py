"""The four readings of eq. (15): what their lists hold, and their losses written out in NumPy."""

import numpy as np
import pytest
import torch
from tests.toys import TARGET, dataset_of

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.dcmpt.backbone import pretrain
from crossmarket.models.dcmpt.lists import DISTILLERS, NEEDS_VIEWS
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import view_market
from crossmarket.training.options import RunOptions
from crossmarket.training.sampling import PositiveSampler

LENGTH = 6
TEMPERATURE = 0.5
SOURCES = ("aa", "cc")


@pytest.fixture(scope="module")
def bank():
    generator = torch.Generator().manual_seed(4)
    return PromptBank.create("attention", 3, 8, generator, split=True)


@pytest.fixture(scope="module")
def make(split, backbone, sampler, teacher, configure):
    """Builds a reading over the toy markets."""

    def build(mode, length=LENGTH, similarity="cosine"):
        views = {
            name: view_market(configure(), split.train, name, backbone, "cpu")
            for name in (SOURCES if mode in NEEDS_VIEWS else ())
        }
        return DISTILLERS[mode](
            split.train, sampler, teacher, length, views, similarity, TEMPERATURE
        )

    return build


@pytest.fixture(scope="module")
def positives(sampler):
    """Positives of one step."""
    picked = np.random.default_rng(1).permutation(len(sampler))[:9]
    return sampler.users[picked], sampler.items[picked]


@pytest.fixture(scope="module")
def scores(positives, sampler):
    """Made-up student logits of the step's users for all items of the target."""
    shape = (len(positives[0]), len(sampler.nodes.items))
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def assert_lists(lists, sampler, users, items):
    """The first column is the positive, the others are unseen by the user."""
    start = sampler.nodes.num_users
    assert lists.users.tolist() == users.tolist()
    assert lists.items.shape == (len(users), LENGTH)
    assert (lists.items[:, 0] + start).tolist() == items.tolist()
    nodes = lists.items.numpy() + start
    assert not sampler.is_positive(users[:, None], nodes[:, 1:]).any()


def rows_of(lists, nodes):
    """Vocabulary rows of the listed items."""
    return nodes.items[lists.items.numpy()]


def lists_again(distiller, positives, seed=3):
    return distiller.draw(*positives, np.random.default_rng(seed))


# -- what the lists hold ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", DISTILLERS)
def test_every_reading_lists_the_target_over_its_whole_catalogue(make, sampler, positives, mode):
    distiller = make(mode)
    lists = lists_again(distiller, positives)
    assert_lists(lists[TARGET], sampler, *positives)
    assert list(lists) == [TARGET, *(SOURCES if mode != "target_only" else ())]
    again = lists_again(distiller, positives)
    assert all(torch.equal(lists[name].items, again[name].items) for name in lists)
    assert not torch.equal(
        lists[TARGET].items, lists_again(distiller, positives, seed=4)[TARGET].items
    )


def test_bridge_lists_hold_shared_items_that_the_user_has_not_seen(split, make, sampler, positives):
    lists = lists_again(make("bridge"), positives)
    for source in SOURCES:
        assert_lists(lists[source], sampler, *positives)
        shared = np.intersect1d(split.train.catalogue(source), split.train.catalogue(TARGET))
        assert len(shared) >= LENGTH - 1
        assert np.isin(rows_of(lists[source], sampler.nodes)[:, 1:], shared).all()


def test_bridge_lists_are_topped_up_where_markets_share_too_little():
    rows = [("de", f"u{n}", f"i{n}") for n in range(8)] + [("uk", "ann", "i1"), ("uk", "ann", "x")]
    data = dataset_of(rows)
    target = PositiveSampler(data, map_nodes(data, ("de",)))
    teacher = torch.zeros(target.nodes.num_nodes, 2)
    bridge = DISTILLERS["bridge"](data, target, teacher, 4, {}, "dot", 1.0)
    user, item = target.users[:1], target.items[:1]  # u0 with i0
    shared = int(np.flatnonzero(data.items.take(target.nodes.items) == np.array("i1"))[0])
    hits, others = 0, set()
    for seed in range(30):
        items = bridge.draw(user, item, np.random.default_rng(seed))["uk"].items[0]
        assert items[0] == item[0] - target.nodes.num_users
        assert len(set(items[1:].tolist()) - {shared}) <= 2  # K - 1 = 3 places, 1 shared item
        hits += shared in items[1:].tolist()
        others |= set(items[1:].tolist()) - {shared}
    assert 12 < hits < 30  # three places, each drawn from the shared item and two others
    assert len(others) > 2


def test_literal_lists_are_those_of_source_users_over_their_own_market(split, make, positives):
    distiller = make("literal")
    lists = lists_again(distiller, positives)
    for source in SOURCES:
        sampler = PositiveSampler(split.train, map_nodes(split.train, (source,)))
        users = lists[source].users.numpy()
        items = lists[source].items[:, 0].numpy() + sampler.nodes.num_users
        assert_lists(lists[source], sampler, users, items)
        assert sampler.is_positive(users, items).all()
        assert len(users) == len(positives[0])


def test_inductive_lists_are_those_of_source_users_over_shared_items(split, make, positives):
    lists = lists_again(make("inductive"), positives)
    for source in SOURCES:
        sampler = PositiveSampler(split.train, map_nodes(split.train, (source,)))
        users = lists[source].users.numpy()
        items = lists[source].items[:, 0].numpy() + sampler.nodes.num_users
        assert_lists(lists[source], sampler, users, items)
        assert sampler.is_positive(users, items).all()
        rows = rows_of(lists[source], sampler.nodes)
        assert np.isin(rows, split.train.catalogue(TARGET)).all()


def test_inductive_leaves_out_a_source_that_shares_nothing(configure):
    rows = [
        (m, f"u{n}", f"{m}{(n + k) % 9}") for m in ("de", "uk") for n in range(6) for k in (0, 1)
    ]
    data = dataset_of(rows)
    tables = pretrain(configure(), data, None, "de", RunOptions(threads=1))
    target = PositiveSampler(data, map_nodes(data, ("de",)))
    views = {"uk": view_market(configure(), data, "uk", tables, "cpu")}
    teacher = torch.zeros(target.nodes.num_nodes, 2)
    distiller = DISTILLERS["inductive"](data, target, teacher, 3, views, "dot", 1.0)
    lists = distiller.draw(target.users[:4], target.items[:4], np.random.default_rng(0))
    assert list(lists) == ["de"]
    scores = torch.zeros(4, len(target.nodes.items), requires_grad=True)
    assert distiller.loss(lists, scores, None).item() == 0


# -- losses -----------------------------------------------------------------------------------


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def plain_kl(teacher, student):
    """KL of two softmaxes, each [B, K]; equals the decoupled form."""
    return (softmax(teacher) * np.log(softmax(teacher) / softmax(student))).sum(axis=1)


def weights_14(seen, reference):
    powers = np.exp(-np.abs(np.array(seen) - reference))
    return powers / powers.sum()


def pick(logits, lists):
    return np.take_along_axis(logits, lists.items.numpy(), axis=1)


def teacher_logits(teacher, sampler, users):
    vectors = teacher.double().numpy()
    return vectors[users] @ vectors[sampler.nodes.num_users :].T


def student_logits(split, backbone, configure, bank, source, users, similarity="cosine"):
    """Prompted student of a source market, from its vectors."""
    view = view_market(configure(), split.train, source, backbone, "cpu")
    vectors = view.vectors(bank).double().numpy()
    if similarity == "cosine":
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[users] @ vectors[view.nodes.num_users :].T / TEMPERATURE


def test_target_only_is_the_plain_divergence(make, sampler, teacher, positives, scores):
    distiller = make("target_only")
    lists = lists_again(distiller, positives)
    expected = plain_kl(
        pick(teacher_logits(teacher, sampler, positives[0]), lists[TARGET]),
        pick(scores.double().numpy(), lists[TARGET]),
    ).mean()
    assert distiller.loss(lists, scores, None).item() == pytest.approx(expected, rel=1e-5)


def test_bridge_weighs_the_divergence_on_each_sources_lists(
    split, make, sampler, teacher, positives, scores
):
    """One source is made to look easier than the target's own lists and the other harder.

    Were both on one side, moving the reference of (14) would not move the weights.
    """
    distiller = make("bridge")
    lists = lists_again(distiller, positives)
    easy, hard = (np.isin(sampler.nodes.items, split.train.catalogue(s)) for s in SOURCES)
    lift = 3 * (torch.from_numpy(hard).float() - torch.from_numpy(easy).float())
    leaf = scores + lift
    teachers, students = teacher_logits(teacher, sampler, positives[0]), leaf.double().numpy()
    reference = softmax(pick(teachers, lists[TARGET]))[:, 0].mean()
    terms = [plain_kl(pick(teachers, lists[s]), pick(students, lists[s])).mean() for s in SOURCES]
    seen = [softmax(pick(students, lists[s]))[:, 0].mean() for s in SOURCES]
    assert seen[1] < reference < seen[0]
    expected = weights_14(seen, reference) @ terms
    assert distiller.loss(lists, leaf, None).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_literal_compares_averages_of_sorted_preferences(
    split, backbone, configure, make, sampler, teacher, positives, scores, bank, similarity
):
    distiller = make("literal", similarity=similarity)
    lists = lists_again(distiller, positives)

    def averages(logits):
        seen = softmax(logits)[:, 0]
        rest = np.sort(softmax(logits[:, 1:]), axis=1)[:, ::-1]
        return seen.mean(), 1 - seen.mean(), rest.mean(axis=0)

    t_seen, t_rest, t_list = averages(
        pick(teacher_logits(teacher, sampler, positives[0]), lists[TARGET])
    )
    terms, means = [], []
    for source in SOURCES:
        users = lists[source].users.numpy()
        logits = student_logits(split, backbone, configure, bank, source, users, similarity)
        seen, rest, listed = averages(pick(logits, lists[source]))
        binary = t_seen * np.log(t_seen / seen) + t_rest * np.log(t_rest / rest)
        terms.append(binary + t_rest * (t_list * np.log(t_list / listed)).sum())
        means.append(seen)
    expected = weights_14(means, t_seen) @ terms
    assert distiller.loss(lists, scores, bank).item() == pytest.approx(expected, rel=1e-4)


def test_inductive_folds_source_users_into_the_teacher(
    split, backbone, configure, make, sampler, teacher, positives, scores, bank
):
    distiller = make("inductive")
    lists = lists_again(distiller, positives)
    vectors, target = teacher.double().numpy(), sampler.nodes
    degrees = np.bincount(split.train.edges(TARGET).items, minlength=len(split.train.items))
    reference = softmax(pick(teacher_logits(teacher, sampler, positives[0]), lists[TARGET]))[
        :, 0
    ].mean()
    terms, means = [], []
    for source in SOURCES:
        nodes = map_nodes(split.train, (source,))
        matrix = split.train.matrix(source).toarray()
        folded = []
        for user, listed in zip(
            lists[source].users.tolist(), rows_of(lists[source], nodes), strict=True
        ):
            history = np.flatnonzero(matrix[user])
            vector = np.zeros(vectors.shape[1])
            for item in np.intersect1d(history, target.items):
                node = target.item_nodes(np.array([item]))[0]
                vector += vectors[node] / np.sqrt(len(history) * max(degrees[item], 1))
            folded.append([vector @ vectors[node] for node in target.item_nodes(listed)])
        users = lists[source].users.numpy()
        mine = pick(student_logits(split, backbone, configure, bank, source, users), lists[source])
        terms.append(plain_kl(np.array(folded), mine).mean())
        means.append(softmax(mine)[:, 0].mean())
    expected = weights_14(means, reference) @ terms
    assert distiller.loss(lists, scores, bank).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("mode", DISTILLERS)
def test_gradients_flow_to_the_student_only(make, teacher, positives, scores, mode):
    bank = PromptBank.create("attention", 3, 8, torch.Generator().manual_seed(0))
    for tensor in bank.parameters().values():
        tensor.requires_grad_(True)
    distiller = make(mode)
    leaf = scores.clone().requires_grad_(True)
    loss = distiller.loss(lists_again(distiller, positives), leaf, bank)
    assert torch.isfinite(loss)
    loss.backward()
    on_sources = mode in NEEDS_VIEWS
    assert (leaf.grad is None) == on_sources
    assert (bank.basis.grad is None) == (not on_sources)
    assert teacher.grad is None
    assert not teacher.requires_grad


@pytest.mark.parametrize("mode", DISTILLERS)
def test_extreme_scores_stay_finite(make, positives, scores, bank, mode):
    distiller = make(mode)
    leaf = (scores * 1e4).requires_grad_(True)
    loss = distiller.loss(lists_again(distiller, positives), leaf, bank)
    assert torch.isfinite(loss)
