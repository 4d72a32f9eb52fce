"""The losses of the paper against slow loops over its equations (numbers in brackets)."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings

from crossmarket.models.dcmpt.distillation import (
    decoupled_kl,
    decoupled_kl_of,
    log_preferences,
    market_weights,
    position_weights,
    ranks_among,
    sampled_ranks,
    wrd_loss,
    wrd_weights,
)

LOGITS = st.floats(-6, 6, width=32)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def softmax(values):
    largest = max(values)
    powers = [math.exp(value - largest) for value in values]
    return [power / sum(powers) for power in powers]


def weights_by_loop(ranks, decay, deviation, normalise_gap=False):
    """(7), (8) and (9) of one user."""
    length = len(ranks)
    position = [math.exp(-r / decay) for r in range(1, length + 1)]
    position = [value / sum(position) for value in position]
    gaps = [rank - r for r, rank in enumerate(ranks, start=1)]
    if normalise_gap:
        gaps = [gap / length for gap in gaps]
    products = [w * sigmoid(deviation * gap) for w, gap in zip(position, gaps, strict=True)]
    return [product / sum(products) for product in products]


def divergence_by_loop(teacher, student):
    """The bracket of (15) from (10) to (13), of one user."""
    seen_t, seen_s = softmax(teacher)[0], softmax(student)[0]
    binary = seen_t * math.log(seen_t / seen_s)
    binary += (1 - seen_t) * math.log((1 - seen_t) / (1 - seen_s))
    pairs = zip(softmax(teacher[1:]), softmax(student[1:]), strict=True)
    return binary + (1 - seen_t) * sum(t * math.log(t / s) for t, s in pairs)


@st.composite
def two_lists(draw):
    length = draw(st.integers(2, 9))
    return [draw(st.lists(LOGITS, min_size=length, max_size=length)) for _ in range(2)]


# -- WRD --------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.05, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("length", [1, 2, 50])
def test_position_weights(length, decay):
    expected = [math.exp(-(r - 1) / decay) for r in range(1, length + 1)]
    expected = np.array(expected) / sum(expected)
    weights = position_weights(length, decay)
    assert weights.dtype == torch.float32
    np.testing.assert_allclose(weights, expected, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("normalise_gap", [False, True])
@pytest.mark.parametrize("deviation", [0.0, 0.1, 1.0])
def test_wrd_weights(deviation, normalise_gap):
    ranks = [[1, 2, 3, 4], [40, 1, 7, 2], [3, 3, 3, 90]]
    weights = wrd_weights(torch.tensor(ranks), 3.0, deviation, normalise_gap)
    expected = [weights_by_loop(row, 3.0, deviation, normalise_gap) for row in ranks]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert not weights.requires_grad


def test_an_item_placed_too_low_weighs_more_and_one_placed_too_high_less():
    right = wrd_weights(torch.tensor([[1, 2, 3]]), 10.0, 0.5)[0]
    low = wrd_weights(torch.tensor([[1, 9, 3]]), 10.0, 0.5)[0]
    high = wrd_weights(torch.tensor([[1, 2, 1]]), 10.0, 0.5)[0]
    assert low[1] > right[1]
    assert high[2] < right[2]


def test_wrd_weights_bear_the_ranks_of_a_huge_catalogue():
    ranks = torch.tensor([[1_000_000, 1, 2], [1, 1, 1]])
    weights = wrd_weights(ranks, 0.01, 1e3)
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))


def test_wrd_loss_is_the_weighted_log_sigmoid():
    scores = [[0.3, -2.0, 4.0], [1.0, 0.0, -1.0]]
    weights = [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]
    expected = 0.0
    for user in range(2):
        for w, score in zip(weights[user], scores[user], strict=True):
            expected -= w * math.log(sigmoid(score)) / 2
    actual = wrd_loss(torch.tensor(scores), torch.tensor(weights)).item()
    assert actual == pytest.approx(expected, rel=1e-6)


def test_wrd_loss_bears_extreme_scores():
    scores = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = wrd_loss(scores, torch.tensor([[0.5, 0.5]]))
    loss.backward()
    assert loss.item() == pytest.approx(5e3)
    assert scores.grad.tolist() == [[pytest.approx(0.0), pytest.approx(-0.5)]]


score_values = st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0])


@given(st.lists(score_values, min_size=1, max_size=8), st.lists(score_values, max_size=5))
@example([0.0, 0.0, 1.0], [0.0, 1.0, 2.0, -1.0])
def test_a_rank_counts_what_scores_higher(everything, wanted):
    ranks = ranks_among(torch.tensor([everything]), torch.tensor([wanted]))
    expected = [1 + sum(other > score for other in everything) for score in wanted]
    assert ranks.tolist() == [expected]
    assert ranks.dtype == torch.int64


def test_every_user_has_its_own_ranks():
    everything = torch.tensor([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert ranks_among(everything, everything[:, :2]).tolist() == [[3, 2], [1, 2]]


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.integers(1, 100_000),
)
def test_sampled_ranks_scale_the_count_of_the_sample(sample, wanted, num_items):
    ranks = sampled_ranks(
        torch.tensor([sample], dtype=torch.float32),
        torch.tensor([wanted], dtype=torch.float32),
        num_items,
    )
    expected = [
        1 + math.floor((num_items - 1) * sum(other > score for other in sample) / len(sample))
        for score in wanted
    ]
    assert ranks.tolist() == [expected]


# -- AMRDD ------------------------------------------------------------------------------------


@given(st.lists(LOGITS, min_size=2, max_size=9))
def test_log_preferences_are_the_logs_of_10_and_12(logits):
    seen, rest, others = log_preferences(torch.tensor([logits]))
    expected = softmax(logits)
    assert seen.exp().item() == pytest.approx(expected[0], rel=1e-5)
    assert rest.exp().item() == pytest.approx(1 - expected[0], rel=1e-4, abs=1e-6)
    np.testing.assert_allclose(others[0].exp(), softmax(logits[1:]), rtol=1e-4)


@given(two_lists())
def test_decoupled_kl_is_11_plus_the_weighted_13(case):
    teacher, student = case
    exact = [torch.tensor([logits], dtype=torch.float64) for logits in case]
    actual = decoupled_kl(*exact)
    assert actual.item() == pytest.approx(divergence_by_loop(teacher, student), abs=1e-9)
    assert decoupled_kl_of(*map(log_preferences, exact)).item() == actual.item()


@given(two_lists())
def test_decoupled_kl_is_the_plain_divergence_of_the_softmaxes(case):
    teacher, student = (torch.tensor([logits]) for logits in case)
    plain = torch.nn.functional.kl_div(
        student.double().log_softmax(dim=1),
        teacher.double().log_softmax(dim=1),
        log_target=True,
        reduction="sum",
    )
    assert decoupled_kl(teacher.double(), student.double()).item() == pytest.approx(
        plain.item(), abs=1e-12
    )
    assert decoupled_kl(teacher, student).item() == pytest.approx(plain.item(), rel=1e-5, abs=1e-6)


def test_equal_lists_do_not_diverge_and_the_batch_stays_apart():
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 9.0]])
    assert decoupled_kl(logits, logits).tolist() == [0.0, 0.0]
    assert decoupled_kl(logits, logits + 5).tolist() == pytest.approx([0.0, 0.0], abs=1e-5)
    shape = decoupled_kl(logits, logits.flip(0)).shape
    assert shape == (2,)


@pytest.mark.parametrize("scale", [1e2, 1e4])
def test_extreme_logits_stay_finite_in_value_and_gradient(scale):
    teacher = scale * torch.tensor([[1.0, 0.0, -1.0], [-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    student = (-teacher).clone().requires_grad_(True)
    loss = decoupled_kl(teacher, student)
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(student.grad).all()
    assert (loss >= 0).all()


def test_the_gradient_is_that_of_the_softmax():
    """d KL(t || s) / d logits = softmax(s) - softmax(t)."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(4, 6, generator=generator)
    student = torch.randn(4, 6, generator=generator).requires_grad_(True)
    decoupled_kl(teacher, student).sum().backward()
    expected = student.detach().softmax(dim=1) - teacher.softmax(dim=1)
    torch.testing.assert_close(student.grad, expected, rtol=1e-4, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=6), st.floats(0, 1, width=32))
def test_market_weights_are_14(seen, reference):
    weights = market_weights(torch.tensor(seen), torch.tensor(reference))
    powers = [math.exp(-abs(value - reference)) for value in seen]
    np.testing.assert_allclose(weights, np.array(powers) / sum(powers), rtol=1e-5)
    assert weights.sum().item() == pytest.approx(1)
    assert max(weights) <= min(weights) * math.e * 1.0001


def test_market_weights_pass_no_gradient():
    seen = torch.tensor([0.1, 0.6], requires_grad=True)
    assert not market_weights(seen, torch.tensor(0.3, requires_grad=True)).requires_grad
