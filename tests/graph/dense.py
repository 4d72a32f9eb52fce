"""Dense references of adjacency and propagation, and random graphs."""

import hypothesis.strategies as st
import numpy as np


def dense_adjacency(users, items, num_users, num_items):
    """`Deg^(-1/2) A Deg^(-1/2)` as float64; rows of nodes without edges are zero."""
    interactions = np.zeros((num_users, num_items))
    interactions[users, items] = 1
    adjacency = np.block(
        [
            [np.zeros((num_users, num_users)), interactions],
            [interactions.T, np.zeros((num_items, num_items))],
        ]
    )
    degrees = adjacency.sum(axis=1)
    inverse_root = np.where(degrees > 0, 1 / np.sqrt(np.maximum(degrees, 1)), 0)
    return inverse_root[:, None] * adjacency * inverse_root


def dense_mean(adjacency, table, num_layers):
    """`1/(L+1) * sum_l A^l X`, one power after the other."""
    total, power = table, table
    for _ in range(num_layers):
        power = adjacency @ power
        total = total + power
    return total / (num_layers + 1)


@st.composite
def bipartite_edges(draw):
    num_users, num_items = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    pair = st.tuples(st.integers(0, num_users - 1), st.integers(0, num_items - 1))
    edges = draw(st.lists(pair, unique=True, max_size=30))
    users = np.array([user for user, _ in edges], dtype=np.int64)
    items = np.array([item for _, item in edges], dtype=np.int64)
    return users, items, num_users, num_items
