from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.curriculum_sft.training.order import LengthGroupedOrder


@given(st.lists(st.integers(1, 1000), max_size=200), st.integers(1, 16), st.integers(0, 5))
def test_every_index_once(lengths, batch, seed):
    assert sorted(LengthGroupedOrder(lengths, batch, seed)) == list(range(len(lengths)))


def test_order_is_a_function_of_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(1, 500, 300)
    order = LengthGroupedOrder(lengths, 8, seed=1)
    first = list(order)
    order.epoch = 1
    second = list(order)
    order.epoch = 0
    assert list(order) == first != second
    assert first != list(LengthGroupedOrder(lengths, 8, seed=2))


def test_batches_hold_similar_lengths():
    """Padding of grouped batches against that of random ones, on uniform lengths: a fifth or less."""
    lengths = np.random.default_rng(0).integers(1, 500, 1024)

    def padding(indices):
        batches = lengths[np.array(indices)].reshape(-1, 16)
        return (batches.max(1, keepdims=True) - batches).sum()

    grouped = padding(list(LengthGroupedOrder(lengths, 16, seed=0)))
    assert grouped < 0.2 * padding(np.random.default_rng(1).permutation(1024))
