"""Layers over pairs: all pairs at once are the pairs one by one."""

import pytest
import torch

from crossmarket.models.layers import PairLinear, PairMLP, embedding, pair_inner, perceptron


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return torch.randn(4, 3), torch.randn(6, 3)


def test_a_pair_layer_is_a_layer_over_the_concatenation(vectors):
    p, q = vectors[0], vectors[1][:4]
    layer = PairLinear(3, 3, 5)
    whole = torch.cat([p, q], dim=1) @ layer.weight.T + layer.bias
    torch.testing.assert_close(layer(p, q), whole)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_all_pairs_at_once_are_the_pairs_one_by_one(vectors, dropout):
    p, q = vectors
    tower = PairMLP(3, [7, 5, 2], dropout).eval()
    grid = tower(p[:, None], q[None])
    assert grid.shape == (4, 6, 2)
    for user in range(4):
        for item in range(6):
            z = torch.cat([p[user], q[item]])
            layers = [tower.first, *tower.rest]
            for layer in layers:
                z = torch.relu(layer.weight @ z + layer.bias)
            torch.testing.assert_close(grid[user, item], z)


def test_dropout_acts_in_training_only(vectors):
    p, q = vectors[0], vectors[1][:4]
    tower = PairMLP(3, [50], 0.5)
    tower.eval()
    assert torch.equal(tower(p, q), tower(p, q))
    tower.train()
    assert not torch.equal(tower(p, q), tower(p, q))


def test_a_perceptron_ends_with_an_activation():
    net = perceptron([4, 3, 2], dropout=0.5)
    assert (net.eval()(torch.randn(20, 4)) >= 0).all()
    assert [layer.out_features for layer in net if hasattr(layer, "out_features")] == [3, 2]


def test_tables_are_drawn_small():
    torch.manual_seed(0)
    table = embedding(500, 40, std=0.01)
    assert table.weight.std().item() == pytest.approx(0.01, rel=0.05)


def test_inner_products_of_pairs_lists_and_grids_agree(vectors):
    p, q = vectors
    grid = pair_inner(p[:, None], q[None])
    torch.testing.assert_close(grid, p @ q.T)
    torch.testing.assert_close(pair_inner(p, q[:4]), grid.diagonal())
    torch.testing.assert_close(pair_inner(p[:, None], q[torch.tensor([[1, 2]] * 4)]), grid[:, 1:3])
