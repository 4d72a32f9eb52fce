"""Cross-Stitch against its equations."""

import numpy as np
import pytest
import torch
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.toys import toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.cross_stitch import CrossStitchConfig, CrossStitchNetwork, Stitch

HIDDEN = (5, 4, 3)


def network_of(markets=("aa", "bb", "cc"), **values):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    config = CrossStitchConfig(embedding_size=3, hidden=HIDDEN, **values)
    return CrossStitchNetwork(nodes, config, range(len(markets))), train, nodes


def by_hand(state, user, item, task, count, rate):
    x = np.concatenate([state["users.weight"][user], state["items.weight"][item]])
    x = [x] * count
    layers = ["first", *(f"rest.{place}" for place in range(len(HIDDEN) - 1))]
    stitches = [*(f"stitches.{place}" for place in range(len(HIDDEN) - 1)), "last"]
    for layer, stitch in zip(layers, stitches, strict=True):
        weight, bias = state[f"{layer}.weight"], state[f"{layer}.bias"]
        x = [relu(x[k] @ weight[k] + bias[k, 0]) for k in range(count)]
        a = rate * state[f"{stitch}.weight"]
        x = [sum(a[k, t] * x[t] for t in range(count)) for k in range(count)]
    return (x[task] @ state["heads.weight"][task] + state["heads.bias"][task, 0]).item()


@pytest.mark.parametrize("rate", [1.0, 10.0])
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb"), ("aa", "bb", "cc")])
def test_logits_and_loss_are_those_of_the_equations(markets, rate):
    network, train, nodes = network_of(markets, stitch_rate=rate)
    state = arrays(randomise(network))
    examples = examples_of(train, nodes, 120)
    task = np.concatenate([np.full(end - start, k) for start, end, k in examples.runs])
    logits = np.array(
        [
            by_hand(state, *row, len(markets), rate)
            for row in zip(examples.users, examples.items, task, strict=True)
        ]
    )
    found = network.logits(examples).detach()
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-3 * np.abs(logits).max())
    y = examples.labels.numpy()
    loss = np.mean(np.logaddexp(0, logits) - y * logits)
    assert network.losses(examples)["loss"].item() == pytest.approx(loss, rel=1e-4)


def test_a_tower_starts_with_most_of_its_own_and_equal_shares_of_the_others():
    torch.testing.assert_close(
        Stitch(3, 0.9, 10.0).shares(),
        torch.tensor([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]),
    )
    # A tower without others is a plain perceptron.
    torch.testing.assert_close(Stitch(1, 0.9, 10.0).shares(), torch.ones(1, 1))


@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
def test_a_step_of_adam_moves_the_shares_by_their_own_rate(rate):
    stitch = Stitch(2, 0.9, rate)
    before = stitch.shares().detach().clone()
    optimiser = torch.optim.Adam(stitch.parameters(), lr=1e-3)
    stitch(torch.ones(2, 4, 3)).sum().backward()
    optimiser.step()
    moved = before - stitch.shares().detach()
    torch.testing.assert_close(moved, torch.full((2, 2), 1e-3 * rate), rtol=1e-3, atol=1e-6)


def test_towers_meet_through_the_stitches_only():
    for own_share, met in ((1.0, False), (0.9, True)):
        network, train, nodes = network_of(own_share=own_share)
        examples = examples_of(train, nodes)
        start, end, _ = examples.runs[1]
        network(examples.users[start:end], examples.items[start:end], 1).sum().backward()
        for layer in (network.first, *network.rest):
            assert layer.weight.grad[1].abs().max() > 0
            for other in (0, 2):
                assert (layer.weight.grad[other].abs().max() > 0) == met
        assert network.heads.weight.grad[[0, 2]].abs().max() == 0
