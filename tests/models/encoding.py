"""Encoder layers by their equations, token by token."""

import math

import numpy as np
from scipy.special import erf
from scipy.special import softmax as softmax_of
from tests.models.networks import relu


def gelu(x):
    return x * 0.5 * (1 + erf(x / math.sqrt(2)))


def linear(state, name, x):
    return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]


def layer_norm(state, name, x):
    scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def attend(state, name, x, num_heads, *, causal, adapters=False):
    """Attention over the real tokens [L, d] of one sequence."""
    query, key, value = (linear(state, f"{name}.{part}", x) for part in ("query", "key", "value"))
    if adapters:
        query = relu(linear(state, f"{name}.query_adapter.0", query))
        key = relu(linear(state, f"{name}.key_adapter.0", key))
    width = x.shape[1] // num_heads
    mixed = np.zeros_like(x)
    for row in range(len(x)):
        seen = slice(0, row + 1) if causal else slice(None)
        for head in range(num_heads):
            own = slice(head * width, (head + 1) * width)
            weights = softmax_of(key[seen, own] @ query[row, own] / math.sqrt(width))
            mixed[row, own] = weights @ value[seen, own]
    return linear(state, f"{name}.output", mixed)


def encode(state, name, x, num_heads, *, causal=False, adapters=False, activation=gelu):
    """One post-norm layer over the real tokens [L, d] of one sequence."""
    mixed = attend(state, f"{name}.attention", x, num_heads, causal=causal, adapters=adapters)
    c = layer_norm(state, f"{name}.attention_norm", x + mixed)
    thought = linear(state, f"{name}.narrow", activation(linear(state, f"{name}.widen", c)))
    return layer_norm(state, f"{name}.output_norm", c + thought)
