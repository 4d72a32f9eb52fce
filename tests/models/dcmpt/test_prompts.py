"""The bank of prompts: its mixture, its start and its size."""

import math

import pytest
import torch

from crossmarket.models.dcmpt.prompts import PromptBank


def bank_of(kind="attention", num_prompts=4, width=6, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return PromptBank.create(kind, num_prompts, width, generator, **options)


def features_of(nodes=5, width=6):
    return torch.randn(nodes, width, generator=torch.Generator().manual_seed(7))


def mixture_by_loop(bank, features):
    rows = []
    for feature in features.tolist():
        logits = []
        for k, attention in enumerate(bank.attention.tolist()):
            bias = 0.0 if bank.bias is None else bank.bias[k].item()
            logits.append(sum(a * e for a, e in zip(attention, feature, strict=True)) + bias)
        powers = [math.exp(logit) for logit in logits]
        rows.append([power / sum(powers) for power in powers])
    return torch.tensor(rows)


def test_the_mixture_is_a_softmax_of_attention():
    bank, features = bank_of(), features_of()
    mixture = bank.mixture(features, 2)
    torch.testing.assert_close(mixture, mixture_by_loop(bank, features))
    torch.testing.assert_close(mixture.sum(dim=1), torch.ones(5))


def test_a_bias_shifts_the_attention():
    bank, features = bank_of(attn_bias=True), features_of()
    assert bank.bias.tolist() == [0.0] * 4
    bank.bias = torch.tensor([3.0, 0.0, -1.0, 0.5])
    torch.testing.assert_close(bank.mixture(features, 2), mixture_by_loop(bank, features))


def test_with_separate_banks_users_never_use_item_prompts():
    bank, features = bank_of(split=True, attn_bias=True), features_of(nodes=7)
    assert len(bank.basis) == 8
    for num_users in (2, 5):
        mixture = bank.mixture(features, num_users)
        assert not mixture[:num_users, 4:].any()
        assert not mixture[num_users:, :4].any()
        torch.testing.assert_close(mixture.sum(dim=1), torch.ones(7))
        halves = [
            PromptBank(bank.basis[part], bank.attention[part], bank.bias[part])
            for part in (slice(0, 4), slice(4, 8))
        ]
        users, items = features[:num_users], features[num_users:]
        torch.testing.assert_close(mixture[:num_users, :4], mixture_by_loop(halves[0], users))
        torch.testing.assert_close(mixture[num_users:, 4:], mixture_by_loop(halves[1], items))


def test_the_banks_of_an_unused_half_get_no_gradient_from_users():
    bank, features = bank_of(split=True), features_of()
    for tensor in bank.parameters().values():
        tensor.requires_grad_(True)
    (bank.mixture(features, 3)[:3] @ bank.basis).square().sum().backward()
    assert bank.basis.grad[:4].any()
    assert not bank.basis.grad[4:].any()
    assert not bank.attention.grad[4:].any()


@pytest.mark.parametrize("split", [False, True])
def test_one_global_prompt_is_the_same_for_every_node(split):
    bank = bank_of("global", split=split)
    assert bank.basis.shape == (1, 6)
    assert bank.attention is None
    assert bank.mixture(features_of(), 2).tolist() == [[1.0]] * 5


def test_the_start_is_glorot_uniform_and_seeded():
    bank = bank_of(num_prompts=200, width=100)
    limit = math.sqrt(6 / 300)
    assert bank.basis.abs().max() <= limit
    assert bank.basis.std().item() == pytest.approx(limit / math.sqrt(3), rel=0.02)
    assert bank.attention.abs().max() <= 0.1
    assert bank.attention.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    assert torch.equal(bank.basis, bank_of(num_prompts=200, width=100).basis)
    assert not torch.equal(bank.basis, bank_of(num_prompts=200, width=100, seed=1).basis)


def test_a_start_at_zero_still_has_attention_to_learn_from():
    bank = bank_of(zeros=True)
    assert not bank.basis.any()
    assert bank.attention.any()


@pytest.mark.parametrize(
    ("kind", "options", "count"),
    [
        ("attention", {}, 2 * 4 * 6),
        ("attention", {"attn_bias": True}, 2 * 4 * 6 + 4),
        ("attention", {"split": True}, 2 * 2 * 4 * 6),
        ("attention", {"split": True, "attn_bias": True}, 2 * (2 * 4 * 6 + 4)),
        ("global", {}, 6),
    ],
)
def test_how_much_there_is_to_train(kind, options, count):
    parameters = bank_of(kind, **options).parameters()
    assert sum(tensor.numel() for tensor in parameters.values()) == count
    assert set(parameters) <= {"basis", "attention", "bias"}
