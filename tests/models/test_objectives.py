"""Ranking objectives against loops over their definitions."""

import math

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings

from crossmarket.models.objectives import (
    as_similarity,
    bpr,
    cross_entropy,
    sampled_softmax,
    squared_norm,
)


def normal(*shape, seed=0, scale=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def softmax_by_loop(users, items, negatives, same):
    """Cross entropy of each positive among the samples that are not itself."""
    total = torch.zeros((), dtype=users.dtype)
    for row, (user, item) in enumerate(zip(users, items, strict=True)):
        kept = [
            user @ negative
            for column, negative in enumerate(negatives)
            if row * len(negatives) + column not in same
        ]
        total = total + torch.stack([user @ item, *kept]).logsumexp(dim=0) - user @ item
    return total


def test_bpr_is_the_mean_softplus_of_the_margin():
    positive, negative = normal(4), normal(4, 3, seed=1)
    expected = sum(
        math.log1p(math.exp(negative[user, place].item() - positive[user].item())) / 12
        for user in range(4)
        for place in range(3)
    )
    assert bpr(positive, negative).item() == pytest.approx(expected, rel=1e-6)


def test_bpr_falls_when_the_positive_rises_and_bears_extremes():
    negative = torch.zeros(1, 1)
    values = [bpr(torch.tensor([score]), negative).item() for score in (-1e4, 0.0, 1e4)]
    assert values == pytest.approx([1e4, math.log(2), 0.0])


def test_cross_entropy_is_the_mean_over_all_pairs_and_bears_extremes():
    positive, negative = normal(4), normal(4, 3, seed=1)
    share = [1 / (1 + math.exp(-logit)) for logit in positive.tolist()]
    others = [1 / (1 + math.exp(-logit)) for logit in negative.ravel().tolist()]
    expected = -sum(math.log(p) for p in share) - sum(math.log(1 - p) for p in others)
    assert cross_entropy(positive, negative).item() == pytest.approx(expected / 16, rel=1e-5)
    wrong = cross_entropy(torch.tensor([-1e4]), torch.tensor([[1e4, -1e4]]))
    assert wrong.item() == pytest.approx(2e4 / 3)


@settings(max_examples=40)
@given(
    num_users=st.integers(1, 6),
    num_negatives=st.integers(1, 6),
    seed=st.integers(0, 2**16),
    data=st.data(),
)
def test_sampled_softmax_and_its_gradient_are_those_of_the_loop(
    num_users, num_negatives, seed, data
):
    same = data.draw(st.sets(st.integers(0, num_users * num_negatives - 1)))
    parts = [
        normal(num_users, 4, seed=seed),
        normal(num_users, 4, seed=seed + 1),
        normal(num_negatives, 4, seed=seed + 2),
    ]
    leaves = [part.requires_grad_(True) for part in parts]
    exact = [part.detach().double().requires_grad_(True) for part in parts]
    actual = sampled_softmax(*leaves, torch.tensor(sorted(same), dtype=torch.int64))
    expected = softmax_by_loop(*exact, same)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)
    (actual * 0.7).backward()
    (expected * 0.7).backward()
    for leaf, twin in zip(leaves, exact, strict=True):
        wanted = torch.zeros_like(twin) if twin.grad is None else twin.grad
        torch.testing.assert_close(leaf.grad.double(), wanted, rtol=1e-4, atol=1e-5)


def test_sampled_softmax_passes_gradcheck():
    leaves = [normal(3, 2, seed=seed).double().requires_grad_(True) for seed in range(3)]
    same = torch.tensor([1, 5])
    assert torch.autograd.gradcheck(lambda *rows: sampled_softmax(*rows, same), leaves)


def test_a_user_all_of_whose_samples_are_the_positive_loses_nothing():
    users, items = normal(1, 3).requires_grad_(True), normal(1, 3, seed=1)
    loss = sampled_softmax(users, items, items.repeat(2, 1), torch.tensor([0, 1]))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(users.grad, torch.zeros(1, 3))


def test_sampled_softmax_bears_extreme_logits():
    users = torch.tensor([[1e2], [-1e2]]).requires_grad_(True)
    items, negatives = torch.tensor([[1e2], [1e2]]), torch.tensor([[-1e2], [0.0]])
    loss = sampled_softmax(users, items, negatives, torch.tensor([], dtype=torch.int64))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert torch.isfinite(users.grad).all()


def test_squared_norm_is_shared_by_the_batch():
    rows = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    assert squared_norm(rows, 7).item() == pytest.approx((1 + 4 + 9) / 7)


def test_similarities():
    vectors = normal(5, 3)
    assert as_similarity(vectors, "dot") is vectors
    unit = as_similarity(vectors, "cosine")
    expected = torch.nn.functional.cosine_similarity(vectors[:, None], vectors[None], dim=-1)
    torch.testing.assert_close(unit @ unit.T, expected)
    assert torch.equal(as_similarity(torch.zeros(1, 3), "cosine"), torch.zeros(1, 3))
