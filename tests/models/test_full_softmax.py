"""The blockwise cross entropy against the built-in one."""

import pytest
import torch
from torch.nn import functional as F

from crossmarket.models import full_softmax as module
from crossmarket.models.full_softmax import full_softmax


def parts(seed=0):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(11, 4, generator=generator, requires_grad=True)
    table = torch.randn(7, 4, generator=generator, requires_grad=True)
    bias = torch.randn(7, generator=generator, requires_grad=True)
    targets = torch.randint(7, (11,), generator=generator)
    weights = torch.rand(11, generator=generator) + 0.1
    return vectors, table, bias, targets, weights


def composed(vectors, table, bias, targets, weights):
    terms = F.cross_entropy(vectors @ table.T + bias, targets, reduction="none")
    return (weights * terms).sum() / weights.sum()


@pytest.mark.parametrize("block", [1, 21, 10**6])
@pytest.mark.parametrize("trained", [True, False])
def test_loss_and_gradients_are_those_of_the_composed_form(monkeypatch, block, trained):
    monkeypatch.setattr(module, "_BLOCK", block)
    found, wanted = parts(), parts()
    for table in (found[1], wanted[1]):
        table.requires_grad_(trained)
    vectors, table, bias, targets, weights = found
    loss = full_softmax(vectors, table, targets, bias=bias, weights=weights)
    expected = composed(*wanted)
    torch.testing.assert_close(loss, expected)
    (3 * loss).backward()
    (3 * expected).backward()
    for own, other in zip(found[:3], wanted[:3], strict=True):
        if own.requires_grad:
            torch.testing.assert_close(own.grad, other.grad)
    assert (table.grad is not None) == trained


def test_terms_are_equal_and_unbiased_unless_said_otherwise():
    vectors, table, bias, targets, weights = parts()
    expected = composed(vectors, table, bias * 0, targets, torch.ones_like(weights))
    torch.testing.assert_close(full_softmax(vectors, table, targets), expected)


def test_large_logits_stay_finite():
    vectors, table, _, targets, _ = parts()
    loss = full_softmax(vectors * 1e3, table, targets)
    assert torch.isfinite(loss)
    torch.testing.assert_close(loss, F.cross_entropy(vectors * 1e3 @ table.T, targets))
