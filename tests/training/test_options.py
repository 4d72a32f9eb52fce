"""Run options: what holds inside `applied`, and that it ends."""

import pytest
import torch

from crossmarket.training.options import RunOptions


@pytest.fixture
def numerics():
    """Threads and determinism now; put back after the test."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield before
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1])


@pytest.mark.parametrize("deterministic", [False, True])
@pytest.mark.parametrize("threads", [1, 3])
def test_applied_holds_inside_and_is_undone_outside(numerics, threads, deterministic):
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(deterministic)
    with RunOptions(threads=threads).applied():
        assert torch.get_num_threads() == threads
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled() == deterministic


def test_an_error_inside_undoes_it_too(numerics):
    with pytest.raises(ValueError, match="inside"), RunOptions(threads=3).applied():
        raise ValueError("inside")
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == numerics


def test_every_run_remembers_for_itself():
    first, second = RunOptions(), RunOptions()
    first.memory["key"] = 1
    assert second.memory == {}
    assert first == second
