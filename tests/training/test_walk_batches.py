"""Which walks an epoch holds, and where negatives come from."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from crossmarket.graph.walks import ItemWalks
from crossmarket.training.walk_batches import WalkSampler

COUNTS = np.array([[0, 3, 1, 0], [3, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])


def sampler(negative_power=0.75, walks_per_item=4):
    return WalkSampler(ItemWalks.of(csr_array(COUNTS)), walks_per_item, 6, 3, negative_power)


def test_an_epoch_starts_equally_often_at_each_item_that_has_neighbours():
    batches = list(sampler().batches(5, np.random.default_rng(0)))
    assert [batch.size for batch in batches] == [5, 5, 2]
    starts = np.concatenate([batch.centres.rows.view(-1, 6)[:, 0] for batch in batches])
    assert sorted(starts.tolist()) == [0] * 4 + [1] * 4 + [2] * 4
    for batch in batches:
        walks = batch.centres.rows.view(-1, 6).numpy()
        assert (COUNTS[walks[:, :-1], walks[:, 1:]] > 0).all()
        contexts = batch.contexts.rows.view(batch.size, 9).numpy()
        np.testing.assert_array_equal(contexts[:, :6], walks)


def test_epochs_differ_and_a_generator_gives_the_same_epoch_again():
    def walks(seed):
        batches = sampler().batches(100, np.random.default_rng(seed))
        return np.concatenate([batch.contexts.rows for batch in batches])

    np.testing.assert_array_equal(walks(1), walks(1))
    assert (walks(1) != walks(2)).any()


@pytest.mark.parametrize("power", [0.75, 1.0])
def test_negatives_are_drawn_by_degree_to_a_power(power):
    drawn = sampler(power).draw_negatives(20_000, np.random.default_rng(0))
    assert drawn.shape == (20_000, 3)
    expected = COUNTS.sum(axis=1) ** power
    found = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.01)
    assert found[3] == 0  # who is never met is no negative either


def test_power_zero_draws_every_item_alike():
    drawn = sampler(0.0).draw_negatives(20_000, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(drawn.ravel()) / drawn.size, 0.25, atol=0.01)


def test_where_no_item_has_a_neighbour_an_epoch_is_empty():
    alone = WalkSampler(ItemWalks.of(csr_array(np.zeros((3, 3), dtype=int))), 4, 6, 3, 0.75)
    assert list(alone.batches(5, np.random.default_rng(0))) == []
