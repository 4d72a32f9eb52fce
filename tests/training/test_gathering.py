"""Reading rows, and a gradient that is the plain one."""

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import example, given, settings

from crossmarket.training.gathering import RowIndex, gather


@settings(max_examples=40)
@given(rows=st.lists(st.integers(0, 5), max_size=20), seed=st.integers(0, 2**16))
@example(rows=[], seed=0)
@example(rows=[2, 2, 2], seed=0)
def test_rows_and_gradient_are_those_of_indexing(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(6, 3, generator=generator).requires_grad_(True)
    twin = table.detach().clone().requires_grad_(True)
    weights = torch.randn(len(rows), 3, generator=generator)
    read = gather(table, RowIndex.of(np.array(rows, dtype=np.int64), 6, "cpu"))
    expected = twin[torch.tensor(rows, dtype=torch.int64)]
    assert torch.equal(read, expected)
    (read * weights).sum().backward()
    (expected * weights).sum().backward()
    torch.testing.assert_close(table.grad, twin.grad)


def test_the_index_lists_the_reads_of_each_row():
    index = RowIndex.of(np.array([3, 0, 3, 1]), 5, "cpu")
    assert index.rows.tolist() == [3, 0, 3, 1]
    assert index.order.tolist() == [1, 3, 0, 2]
    assert index.offsets.tolist() == [0, 1, 2, 2, 4, 4]
