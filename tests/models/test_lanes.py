"""The encoder in lanes against torch's own layers."""

import pytest
import torch
from torch import nn

from crossmarket.models.lanes import LaneEncoder, lane_attention

WIDTH, HEADS, HIDDEN, LENGTH, COUNT = 12, 3, 20, 6, 5


def reference_of(encoder):
    """torch's post-norm layers with the same weights."""
    layers = []
    for layer in encoder.layers:
        theirs = nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.0, batch_first=False)
        theirs.self_attn.in_proj_weight = layer.projection.weight
        theirs.self_attn.in_proj_bias = layer.projection.bias
        theirs.self_attn.out_proj = layer.output
        theirs.linear1, theirs.linear2 = layer.inner, layer.outer
        theirs.norm1, theirs.norm2 = layer.first_norm, layer.second_norm
        layers.append(theirs)
    return layers


@pytest.mark.parametrize("padded", [False, True])
def test_outputs_and_gradients_are_those_of_torch(padded):
    torch.manual_seed(0)
    encoder = LaneEncoder(2, WIDTH, HEADS, HIDDEN, dropout=0.0)
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    padding = torch.zeros(LENGTH, COUNT, dtype=torch.bool)
    if padded:
        padding[:3, 1] = padding[:5, 4] = True
    tokens = torch.randn(LENGTH, COUNT, WIDTH, requires_grad=True)
    wanted = (torch.randn(LENGTH, COUNT, WIDTH) * ~padding[:, :, None]).contiguous()

    expected = tokens
    for layer in reference_of(encoder):
        expected = layer(expected, src_key_padding_mask=padding.T if padded else None)
    inputs = [tokens, *encoder.parameters()]
    their_gradients = torch.autograd.grad((expected * wanted).sum(), inputs)

    found = encoder(tokens, padding if padded else None)
    gradients = torch.autograd.grad((found * wanted).sum(), inputs)
    torch.testing.assert_close(found[~padding], expected[~padding], rtol=1e-4, atol=1e-5)
    for gradient, theirs in zip(gradients, their_gradients, strict=True):
        torch.testing.assert_close(gradient, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("width", [1, 4])
def test_the_gradient_of_attention_is_its_derivative(width):
    torch.manual_seed(1)
    parts = [torch.randn(2, width, 4, 3, dtype=torch.float64) for _ in range(3)]
    bias = torch.zeros(4, 3, dtype=torch.float64)
    bias[0, 1] = -torch.inf
    leaves = [part.requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda q, k, v: lane_attention(q, k, v, bias), leaves)


def test_dropout_is_at_work_in_training_only():
    torch.manual_seed(2)
    encoder = LaneEncoder(1, WIDTH, HEADS, HIDDEN, dropout=0.5)
    tokens = torch.randn(LENGTH, COUNT, WIDTH)
    assert not torch.equal(encoder(tokens), encoder(tokens))
    encoder.eval()
    assert torch.equal(encoder(tokens), encoder(tokens))


@pytest.mark.parametrize("padded", [False, True])
def test_attention_is_that_of_torch_s_last_layer(padded):
    torch.manual_seed(3)
    encoder = LaneEncoder(2, WIDTH, HEADS, HIDDEN, dropout=0.3).eval()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter, std=0.4)
    padding = torch.zeros(LENGTH, COUNT, dtype=torch.bool)
    if padded:
        padding[:3, 1] = padding[:5, 4] = True
    tokens = torch.randn(LENGTH, COUNT, WIDTH)
    hidden = padding.T if padded else None
    first, last = (layer.eval() for layer in reference_of(encoder))
    lower = first(tokens, src_key_padding_mask=hidden)
    _, expected = last.self_attn(lower, lower, lower, key_padding_mask=hidden)
    found = encoder.attention(tokens, padding if padded else None).permute(2, 0, 1)
    real = ~padding.T
    torch.testing.assert_close(found[real], expected[real], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.sum(dim=2), torch.ones(COUNT, LENGTH))
