"""MMoE against its equations."""

import numpy as np
import pytest
from tests.models.networks import arrays, randomise, relu
from tests.models.test_domains import examples_of
from tests.toys import toy_split

from crossmarket.graph.bipartite import map_nodes
from crossmarket.models.mmoe import MMoEConfig, MMoENetwork


def by_hand(state, user, item, task, num_experts, num_layers):
    x = np.concatenate([state["users.weight"][user], state["items.weight"][item]])
    experts = []
    for expert in range(num_experts):
        z = x
        for layer in ["first", "rest.0"]:
            z = relu(z @ state[f"{layer}.weight"][expert] + state[f"{layer}.bias"][expert, 0])
        experts.append(z)
    gate = np.exp(x @ state["gates.weight"][task] + state["gates.bias"][task, 0])
    z = sum(g * expert for g, expert in zip(gate / gate.sum(), experts, strict=True))
    for layer in range(num_layers):
        name = f"towers.{task}.0.{2 * layer}"
        z = relu(state[f"{name}.weight"] @ z + state[f"{name}.bias"])
    return (state[f"towers.{task}.1.weight"] @ z + state[f"towers.{task}.1.bias"]).item()


@pytest.mark.parametrize(("num_experts", "tower"), [(3, (3,)), (1, ()), (2, (3, 2))])
@pytest.mark.parametrize("markets", [("bb",), ("aa", "bb", "cc")])
def test_logits_and_loss_are_those_of_the_equations(markets, num_experts, tower):
    train = toy_split().train
    nodes = map_nodes(train, markets)
    config = MMoEConfig(
        embedding_size=3, hidden=(5, 4), num_experts=num_experts, tower=tower, dropout=0.0
    )
    network = randomise(MMoENetwork(nodes, config, range(len(markets))))
    state = arrays(network)
    examples = examples_of(train, nodes, 120)
    task = np.concatenate([np.full(end - start, k) for start, end, k in examples.runs])
    logits = np.array(
        [
            by_hand(state, *row, num_experts, len(tower))
            for row in zip(examples.users, examples.items, task, strict=True)
        ]
    )
    np.testing.assert_allclose(network.logits(examples).detach(), logits, rtol=1e-4, atol=1e-5)
    loss = np.mean(np.logaddexp(0, logits) - examples.labels.numpy() * logits)
    assert network.losses(examples)["loss"].item() == pytest.approx(loss, rel=1e-5)


def test_experts_are_shared_and_towers_and_gates_are_not():
    train = toy_split().train
    nodes = map_nodes(train, train.markets)
    config = MMoEConfig(embedding_size=3, hidden=(5, 4), tower=(3,))
    network = randomise(MMoENetwork(nodes, config, range(3)))
    examples = examples_of(train, nodes)
    start, end, _ = examples.runs[1]
    network(examples.users[start:end], examples.items[start:end], 1).sum().backward()
    assert (network.first.weight.grad.abs().amax(dim=(1, 2)) > 0).all()
    assert (network.rest[0].weight.grad.abs().amax(dim=(1, 2)) > 0).all()
    assert (network.gates.weight.grad.abs().amax(dim=(1, 2)) > 0).tolist() == [False, True, False]
    own = [tower[1].weight.grad is not None for tower in network.towers]
    assert own == [False, True, False]
