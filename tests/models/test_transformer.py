"""Encoder layers against their equations; padding and what comes later are never read."""

import numpy as np
import pytest
import torch
from tests.models.encoding import encode
from tests.models.networks import arrays, randomise, relu
from torch import nn

from crossmarket.models.transformer import (
    EncoderLayer,
    check_heads,
    init_normal,
    readable_tokens,
)


def layer_of(**more):
    return randomise(EncoderLayer(6, 3, 10, 0.4, attention_dropout=0.3, **more))


def tokens(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("adapters", [True, False])
@pytest.mark.parametrize("padding", [0, 2])
def test_a_layer_is_that_of_the_equations(causal, adapters, padding):
    layer = nn.Sequential(layer_of(adapters=adapters))
    x = tokens(2, 5, 6)
    real = torch.ones(2, 5, dtype=torch.bool)
    real[0, :padding] = False
    found = layer[0](x, readable_tokens(real, causal=causal)).detach()
    for row, start in ((0, padding), (1, 0)):
        expected = encode(
            arrays(layer), "0", x[row, start:].double().numpy(), 3, causal=causal, adapters=adapters
        )
        np.testing.assert_allclose(found[row, start:], expected, rtol=1e-4, atol=1e-5)


def test_the_activation_can_be_chosen():
    layer = nn.Sequential(layer_of(activation="relu"))
    x = tokens(1, 4, 6)
    found = layer[0](x, readable_tokens(torch.ones(1, 4, dtype=torch.bool))).detach()
    expected = encode(arrays(layer), "0", x[0].double().numpy(), 3, activation=relu)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


def test_a_sequence_of_padding_alone_is_finite_and_trains():
    layer = layer_of().train()
    x = tokens(1, 3, 6).requires_grad_()
    out = layer(x, readable_tokens(torch.zeros(1, 3, dtype=torch.bool), causal=True))
    out.square().sum().backward()
    assert torch.isfinite(out).all()
    assert torch.isfinite(x.grad).all()


def test_dropout_is_for_training_only():
    layer = layer_of()
    x, readable = tokens(1, 3, 6), readable_tokens(torch.ones(1, 3, dtype=torch.bool))
    assert torch.equal(layer(x, readable), layer(x, readable))
    layer.train()
    assert not torch.equal(layer(x, readable), layer(x, readable))


def test_weights_start_small_and_biases_at_zero():
    network = nn.Sequential(nn.Embedding(100, 50), nn.Linear(50, 100), nn.LayerNorm(100))
    init_normal(network, 0.02)
    for part in network[:2]:
        assert part.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert not network[1].bias.any()
    assert torch.equal(network[2].weight, torch.ones(100))


def test_heads_must_share_the_width_out():
    assert check_heads(4, 64) == 4
    with pytest.raises(ValueError, match="a width of 10 cannot be shared out among 4 heads"):
        check_heads(4, 10)
