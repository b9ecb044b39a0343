from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.data.hashing import rng_for
from components.curriculum_sft.packing.plan import (
    best_fit_decreasing,
    fill,
    plan,
    plan_epoch,
    vision_imbalance,
)

LENGTHS = st.lists(st.integers(1, 100), max_size=60)


def test_each_item_goes_to_the_fullest_pack_that_has_room():
    # 7 and 6 open a pack each (rooms 3 and 4); 4 fills the second; 3 fills the first; 2 opens a third.
    assert best_fit_decreasing([4, 7, 3, 6, 2], 10) == [[1, 2], [3, 0], [4]]


@given(LENGTHS, st.integers(100, 300))
def test_packs_hold_every_item_once_and_never_more_than_their_room(lengths, capacity):
    packs = best_fit_decreasing(lengths, capacity)
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))
    assert all(0 < sum(lengths[i] for i in pack) <= capacity for pack in packs)
    # Any-fit packings leave at most one pack half empty.
    assert sum(2 * sum(lengths[i] for i in pack) <= capacity for pack in packs) <= 1


def test_an_item_longer_than_a_pack_is_refused():
    with pytest.raises(ValueError, match="item 1 has 11 tokens, a pack holds 10"):
        best_fit_decreasing([3, 11], 10)


@given(LENGTHS, st.integers(1, 3), st.integers(1, 3))
def test_an_epoch_shows_every_sample_once(lengths, ranks, packs_per_rank):
    packs = plan_epoch(lengths, lengths, 100, ranks=ranks, packs_per_rank=packs_per_rank, seed=1, epoch=0)
    assert sorted(i for pack in packs for i in pack) == list(range(len(lengths)))


def _wide(count: int) -> tuple[list[int], list[int]]:
    """Lengths from 32 to 1,024, of which the picture takes a third to two thirds."""
    rng = rng_for("wide", count)
    lengths = rng.integers(32, 1025, count)
    return lengths.tolist(), (lengths * rng.uniform(1 / 3, 2 / 3, count)).astype(int).tolist()


@pytest.mark.parametrize(("ranks", "packs_per_rank"), [(2, 1), (2, 2), (4, 1), (4, 2)])
def test_packs_are_full_and_even_at_a_wide_spread_of_lengths(ranks, packs_per_rank):
    lengths, vision = _wide(2000)
    options = {"ranks": ranks, "packs_per_rank": packs_per_rank}
    packs = plan_epoch(lengths, vision, 2048, seed=0, epoch=0, **options)
    assert fill(packs, lengths, 2048) >= 0.95
    assert vision_imbalance(packs, vision, ranks, packs_per_rank) <= 0.1


def test_dealing_is_what_makes_the_ranks_even():
    lengths, vision = _wide(2000)
    packs = best_fit_decreasing(lengths, 2048)
    dealt = plan_epoch(lengths, vision, 2048, ranks=2, packs_per_rank=1, seed=0, epoch=0)
    assert vision_imbalance(dealt, vision, 2, 1) < vision_imbalance(packs, vision, 2, 1) / 2


def test_epochs_differ_and_repeat_by_seed():
    lengths, vision = _wide(200)
    options = {"ranks": 1, "packs_per_rank": 1}
    first = plan_epoch(lengths, vision, 2048, seed=0, epoch=0, **options)
    assert first == plan_epoch(lengths, vision, 2048, seed=0, epoch=0, **options)
    assert first != plan_epoch(lengths, vision, 2048, seed=0, epoch=1, **options)
    assert first != plan_epoch(lengths, vision, 2048, seed=1, epoch=0, **options)


def test_a_plan_of_two_and_a_half_epochs():
    lengths, vision = _wide(100)
    options = {"ranks": 1, "packs_per_rank": 1, "seed": 0}
    epochs = [plan_epoch(lengths, vision, 2048, epoch=e, **options) for e in range(3)]
    planned = plan(lengths, vision, 2048, epochs=2.5, **options)
    assert planned == epochs[0] + epochs[1] + epochs[2][: round(len(epochs[2]) / 2)]


def test_nothing_to_pack():
    assert plan([], [], 10, epochs=1, ranks=1, packs_per_rank=1, seed=0) == []
    assert fill([], [], 10) == 0.0
