"""Propagation and its gradient against dense matrix products."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from tests.graph.dense import bipartite_edges, dense_adjacency, dense_mean

from crossmarket.graph.bipartite import build_graph
from crossmarket.graph.propagation import adjacency, layer_mean, neighbour_sum, propagate


def random_case(seed=0, num_users=30, num_items=20, width=5):
    rng = np.random.default_rng(seed)
    users, items = np.nonzero(rng.random((num_users, num_items)) < 0.15)
    edges = (users, items, num_users, num_items)
    table = torch.from_numpy(rng.normal(size=(num_users + num_items, width)).astype(np.float32))
    return build_graph(*edges), torch.from_numpy(dense_adjacency(*edges)), table


@settings(max_examples=40)
@given(bipartite_edges(), st.integers(0, 3), st.integers(0, 2**16))
def test_forward_and_backward_are_the_dense_forms(case, num_layers, seed):
    graph, adjacency = build_graph(*case), torch.from_numpy(dense_adjacency(*case))
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(graph.num_nodes, 3, generator=generator).requires_grad_(True)
    weights = torch.randn(graph.num_nodes, 3, generator=generator)
    exact = table.detach().double().requires_grad_(True)

    actual = propagate(graph, table, num_layers)
    expected = dense_mean(adjacency, exact, num_layers)
    torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-6)

    (actual * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(table.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_gradcheck_in_double_precision(num_layers):
    graph, _, table = random_case(num_users=5, num_items=4, width=2)
    precise = replace(graph, values=graph.values.double())
    exact = table.double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: propagate(precise, x, num_layers), exact)


def test_zero_layers_give_the_table_itself():
    graph, _, table = random_case()
    assert propagate(graph, table, 0) is table


def test_an_isolated_node_keeps_its_share_of_layer_0():
    graph = build_graph(np.array([0]), np.array([0]), 2, 1)
    table = torch.tensor([[1.0], [8.0], [3.0]])
    assert propagate(graph, table, 3)[1] == 2.0


def test_tables_and_gradients_need_not_be_contiguous():
    graph, adjacency, table = random_case()
    columns = torch.stack([table, table], dim=2)[:, :, 0]
    assert not columns.is_contiguous()
    leaf = columns.clone().requires_grad_(True)
    torch.testing.assert_close(propagate(graph, columns, 2), propagate(graph, table, 2))
    propagate(graph, leaf, 2).sum().backward()  # autograd hands in an expanded gradient
    ones = dense_mean(adjacency, torch.ones_like(table).double(), 2)
    torch.testing.assert_close(leaf.grad.double(), ones, rtol=1e-5, atol=1e-6)


def test_the_input_is_left_alone():
    graph, _, table = random_case()
    before = table.clone()
    layer_mean(graph, table, 3)
    assert torch.equal(table, before)


def test_neighbour_sum_is_one_product():
    graph, adjacency, table = random_case()
    product = adjacency @ table.double()
    for scale in (1.0, 0.25):
        actual = neighbour_sum(graph, table, scale).double()
        torch.testing.assert_close(actual, product * scale, rtol=1e-5, atol=1e-6)


def test_a_single_product_and_its_gradient_are_the_dense_ones():
    graph, dense, table = random_case()
    leaf = table.clone().requires_grad_(True)
    weights = torch.randn(table.shape, generator=torch.Generator().manual_seed(1))
    actual = adjacency(graph) @ leaf
    torch.testing.assert_close(actual.double(), dense @ table.double(), rtol=1e-5, atol=1e-6)
    (actual * weights).sum().backward()
    expected = dense.T @ weights.double()
    torch.testing.assert_close(leaf.grad.double(), expected, rtol=1e-5, atol=1e-6)


def test_the_same_input_gives_the_same_bytes_on_any_number_of_threads():
    graph, _, table = random_case(num_users=300, num_items=200, width=16)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(propagate(graph, table, 3))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)
