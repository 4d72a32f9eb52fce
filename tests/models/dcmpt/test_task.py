"""The prompt stage: teacher lists and their loss, the sum of eq. (16), and what it moves."""

import numpy as np
import pytest
import torch
from tests.models.dcmpt.test_distillation import weights_by_loop
from tests.toys import TARGET

from crossmarket.models.dcmpt import task as task_module
from crossmarket.models.dcmpt.config import WRDConfig
from crossmarket.models.dcmpt.lists import DISTILLERS
from crossmarket.models.dcmpt.prompts import PromptBank
from crossmarket.models.dcmpt.student import seen_matrix, view_market
from crossmarket.models.dcmpt.task import PromptTask, RankingDistillation
from crossmarket.models.objectives import as_similarity
from crossmarket.models.validation import Validation, vector_scores


@pytest.fixture(scope="module")
def seen(split, sampler):
    return seen_matrix(split.train, sampler.nodes)


@pytest.fixture(scope="module")
def scores(seen):
    """Made-up student logits of four users for all items."""
    shape = (4, seen.shape[1])
    return torch.randn(shape, generator=torch.Generator().manual_seed(8)) * 2


USERS = torch.tensor([5, 0, 11, 2])


def ranking_of(teacher, seen, **values):
    return RankingDistillation(WRDConfig(**{"top": 5, "decay": 2.0, **values}), teacher, seen)


def rank_of(scores, hidden, item):
    """Place of an item among the unhidden ones."""
    return 1 + sum(
        scores[other] > scores[item] for other in range(len(scores)) if not hidden[other]
    )


# -- WRD --------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [1024, 4])
@pytest.mark.parametrize("include_observed", [False, True])
def test_the_teachers_lists_are_its_best_items(teacher, seen, monkeypatch, include_observed, block):
    monkeypatch.setattr(task_module, "_TEACHER_BLOCK", block)
    ranking = ranking_of(teacher, seen, include_observed=include_observed)
    logits = (teacher[: len(seen)] @ teacher[len(seen) :].T).tolist()
    assert ranking.top.shape == (len(seen), 5)
    for user, row in enumerate(logits):
        kept = [i for i in range(len(row)) if include_observed or not seen[user, i]]
        assert ranking.top[user].tolist() == sorted(kept, key=lambda i: -row[i])[:5]


def test_lists_shrink_to_what_the_busiest_user_has_not_seen(teacher, seen):
    busiest = int(seen.sum(dim=1).max())
    ranking = ranking_of(teacher, seen, top=1000)
    assert ranking.length == seen.shape[1] - busiest
    assert not seen.gather(1, ranking.top).any()
    assert ranking_of(teacher, seen, top=1000, include_observed=True).length == seen.shape[1]
    everything = torch.ones_like(seen)
    assert ranking_of(teacher, everything, top=7).length == 1


@pytest.mark.parametrize("normalise_gap", [False, True])
def test_the_loss_is_5_to_9_with_exact_ranks_among_unseen_items(
    teacher, seen, scores, normalise_gap
):
    ranking = ranking_of(teacher, seen, deviation=0.3, normalise_gap=normalise_gap)
    drawn = ranking.draw(np.random.default_rng(0))
    assert len(drawn[1]) == 0
    total = 0.0
    for row, user in enumerate(USERS.tolist()):
        top = ranking.top[user].tolist()
        ranks = [rank_of(scores[row], seen[user], item) for item in top]
        weights = weights_by_loop([int(rank) for rank in ranks], 2.0, 0.3, normalise_gap)
        for weight, item in zip(weights, top, strict=True):
            total -= weight * np.log(1 / (1 + np.exp(-scores[row, item].item()))) / len(USERS)
    assert ranking.loss(scores, USERS, drawn).item() == pytest.approx(total, rel=1e-5)


def test_the_weights_are_constants_to_the_gradient(teacher, seen, scores):
    ranking = ranking_of(teacher, seen)
    leaf = scores.clone().requires_grad_(True)
    ranking.loss(leaf, USERS, ranking.draw(np.random.default_rng(0))).backward()
    top = ranking.top[USERS]
    for row, user in enumerate(USERS.tolist()):
        ranks = [int(rank_of(scores[row], seen[user], item)) for item in top[row].tolist()]
        weights = torch.tensor(weights_by_loop(ranks, 2.0, 0.1))
        # d(-w log sigmoid(s)) / ds = -w sigmoid(-s), and nothing anywhere else
        expected = torch.zeros(scores.shape[1])
        expected[top[row]] = -weights * torch.sigmoid(-scores[row, top[row]]) / len(USERS)
        torch.testing.assert_close(leaf.grad[row], expected, rtol=1e-4, atol=1e-7)


def test_ranks_in_a_large_catalogue_are_estimated_from_a_sample(teacher, seen, scores):
    ranking = ranking_of(teacher, seen, rank_exact_up_to=3, rank_sample=12)
    drawn = ranking.draw(np.random.default_rng(0))
    sample = drawn[1].tolist()
    assert len(sample) == 12
    total = 0.0
    for row, user in enumerate(USERS.tolist()):
        top = ranking.top[user].tolist()
        own = scores[row].tolist()
        above = [
            sum(own[other] > own[item] for other in sample if not seen[user, other]) for item in top
        ]
        ranks = [1 + (seen.shape[1] - 1) * count // 12 for count in above]
        weights = weights_by_loop(ranks, 2.0, 0.1)
        total -= sum(
            w * np.log(1 / (1 + np.exp(-own[i]))) for w, i in zip(weights, top, strict=True)
        )
    expected = total / len(USERS)
    assert ranking.loss(scores, USERS, drawn).item() == pytest.approx(expected, rel=1e-5)


def test_centred_scores_gain_nothing_from_lifting_all(teacher, seen, scores):
    raw, centred = (ranking_of(teacher, seen, score=name) for name in ("raw", "centred"))
    drawn = raw.draw(np.random.default_rng(0))
    assert len(drawn[0]) == 100

    def loss(ranking, lift):
        return ranking.loss(scores + lift, USERS, drawn).item()

    assert loss(raw, 5.0) < loss(raw, 0.0)
    assert loss(centred, 5.0) == pytest.approx(loss(centred, 0.0), rel=1e-4)
    mean = scores[:, drawn[0]].mean(dim=1, keepdim=True)
    assert loss(centred, 0.0) == pytest.approx(raw.loss(scores - mean, USERS, drawn).item())


# -- the whole stage --------------------------------------------------------------------------


@pytest.fixture
def build(split, backbone, sampler, teacher, seen, configure):
    """Builds the prompt stage over the toy target."""

    def make(mode="bridge", validated=False, **values):
        config = configure(batch_pairs=20, distillation_users=7, **values)
        view = view_market(config, split.train, TARGET, backbone, "cpu")
        bank = PromptBank.create("attention", 3, 8, torch.Generator().manual_seed(1))
        ranking = RankingDistillation(config.wrd, teacher, seen) if config.beta else None
        goal = config.task_objective()
        views = {
            name: view_market(config, split.train, name, backbone, "cpu") for name in ("aa", "cc")
        }
        distiller = DISTILLERS[mode](
            split.train, sampler, teacher, 6, views, goal.similarity, goal.temperature
        )
        validation = Validation(split.train, split.valid, [TARGET])
        return PromptTask(
            config,
            view,
            bank,
            sampler,
            validation if validated else None,
            ranking,
            distiller if config.gamma else None,
            "cpu",
        )

    return make


def first_batch(task, seed=0):
    return next(task.batches(np.random.default_rng(seed)))


@pytest.mark.parametrize("mode", DISTILLERS)
def test_the_loss_is_the_weighted_sum_of_its_terms(build, mode):
    task = build(mode, alpha=0.3, beta=0.7, gamma=2.0, reg=0.01)
    terms = {name: value.item() for name, value in task.losses(first_batch(task)).items()}
    assert set(terms) == {"loss", "task", "wrd", "amrdd"}
    assert all(np.isfinite(value) for value in terms.values())
    penalty = sum(tensor.square().sum().item() for tensor in task.parameters().values())
    expected = 0.3 * terms["task"] + 0.7 * terms["wrd"] + 2.0 * terms["amrdd"] + 0.01 * penalty
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"beta": 0.0, "gamma": 0.0}, {"loss", "task"}),
        ({"beta": 0.0}, {"loss", "task", "amrdd"}),
        ({"gamma": 0.0}, {"loss", "task", "wrd"}),
    ],
)
def test_a_term_of_weight_zero_is_not_computed(build, values, names):
    task = build(**values)
    assert set(task.losses(first_batch(task))) == names


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_each_term_sees_the_students_own_logits(build, similarity):
    objective = {"loss": "bpr", "similarity": similarity, "temperature": 0.5, "num_negatives": 1}
    task = build("target_only", objective=objective, reg=0.0)
    batch = first_batch(task)
    with torch.no_grad():
        vectors = as_similarity(task.view.vectors(task.bank), similarity)
        scores = vectors[batch.users] @ vectors[task.view.nodes.num_users :].T / 0.5
        terms = task.losses(batch)
        wrd = task.ranking.loss(scores, batch.users, batch.drawn)
        amrdd = task.distiller.loss(batch.lists, scores, task.bank)
    torch.testing.assert_close(terms["wrd"], wrd)
    torch.testing.assert_close(terms["amrdd"], amrdd)


def test_an_epoch_visits_every_positive_and_distils_on_the_first_users(build, sampler):
    task = build()
    batches = list(task.batches(np.random.default_rng(0)))
    users = np.concatenate([batch.pairs.positives.users for batch in batches])
    items = np.concatenate([batch.pairs.positives.items for batch in batches])
    pairs = sorted(zip(users.tolist(), items.tolist(), strict=True))
    assert pairs == sorted(zip(sampler.users.tolist(), sampler.items.tolist(), strict=True))
    for batch in batches[:-1]:
        assert batch.users.tolist() == batch.pairs.positives.users[:7].tolist()
        listed = batch.lists[TARGET]
        assert torch.equal(listed.users, batch.users)
        first = listed.items[:, 0] + task.view.nodes.num_users
        assert first.tolist() == batch.pairs.positives.items[:7].tolist()


@pytest.mark.parametrize("mode", DISTILLERS)
def test_only_the_bank_has_a_gradient(build, backbone, teacher, mode):
    task = build(mode)
    task.losses(first_batch(task))["loss"].backward()
    assert set(task.parameters()) == {"basis", "attention"}
    for tensor in task.parameters().values():
        assert tensor.grad is not None
        assert tensor.grad.any()
    frozen = [backbone.layer0, teacher, task.view.table, task.view.base, task.view.features]
    assert not any(tensor.requires_grad for tensor in frozen)


def test_validation_ranks_by_the_students_similarity(build, split, sampler):
    assert build().validate() == {}
    task = build(validated=True)
    with torch.no_grad():
        vectors = as_similarity(task.view.vectors(task.bank), task.goal.similarity)
    validation = Validation(split.train, split.valid, [TARGET])
    assert task.validate() == validation.evaluate(vector_scores(task.view.nodes, vectors))
