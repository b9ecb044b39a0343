from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.hybrid_rl.advantages.combine import combine, component_advantages, standardise

ALL = np.ones(8, dtype=bool)


def test_components_are_normalised_group_by_group():
    rewards = {
        "correctness": np.array([1, 0, 0, 0, 1, 1, 0, 0.0]),
        "length": np.array([1, 2, 3, 4, 100, 200, 300, 400.0]),
    }
    parts = component_advantages(rewards, 4, ALL, ["pass_at_1"] * 99, 1)
    # 1 right of 4: mean 1/4, deviation sqrt(3)/4, so A+ = sqrt(3), A- = -1/sqrt(3); 2 of 4: plus and minus 1.
    np.testing.assert_allclose(parts["correctness"], [3**0.5, *[-(3**-0.5)] * 3, 1, 1, -1, -1])
    # Scale does not matter: 1..4 and 100..400 have the same z-scores, (i - 2.5) / sqrt(1.25).
    np.testing.assert_allclose(parts["length"], np.tile((np.arange(1, 5) - 2.5) / 1.25**0.5, 2))


def test_distinct_reward_vectors_keep_distinct_advantages():
    # Raw sums are equal (1) for the first two, which summing first could not tell apart.
    rewards = {"a": np.array([1.0, 0.0, 0.0, 0.0]), "b": np.array([0.0, 1.0, 1.0, 0.0])}
    total = combine(component_advantages(rewards, 4, ALL[:4], ["pass_at_1"] * 99, 1), {"a": 1.0, "b": 1.0})
    assert total[0] > total[1] > total[3]


def test_component_without_variance_contributes_nothing():
    rewards = {"a": np.array([1.0, 0.0, 1.0, 0.0]), "flat": np.full(4, 0.1 + 0.2)}
    parts = component_advantages(rewards, 4, ALL[:4], ["pass_at_1"] * 99, 1)
    assert not parts["flat"].any()
    alone = combine({"a": parts["a"]}, {"a": 1.0})
    np.testing.assert_allclose(combine(parts, {"a": 1.0, "flat": 5.0}), alone)


def test_group_whose_rewards_cancel_in_sum_still_teaches():
    # a + b = 1 for every rollout: a summed reward has no variance and the group would be dropped.
    rewards = {"a": np.array([1.0, 0.0, 0.0, 0.0]), "b": np.array([0.0, 1.0, 1.0, 1.0])}
    parts = component_advantages(rewards, 4, ALL[:4], ["pass_at_1"] * 99, 1)
    assert np.abs(combine(parts, {"a": 1.0, "b": 0.5})).min() > 0


def test_everything_flat_gives_zero():
    parts = component_advantages({"correctness": np.zeros(8)}, 4, ALL, ["pass_at_k"] * 99, 2)
    assert not combine(parts, {"correctness": 1.0}).any()


def test_batch_scale_is_one_over_active_rollouts():
    rewards = {"correctness": np.array([1, 0, 0, 0, 0, 0, 0, 0.0])}
    parts = component_advantages(rewards, 4, ALL, ["pass_at_1"] * 99, 1)
    total = combine(parts, {"correctness": 7.0})
    assert np.sqrt(np.mean(total[:4] ** 2)) == pytest.approx(1.0)
    assert not total[4:].any()
    np.testing.assert_allclose(
        combine(parts, {"correctness": 7.0}, batch_normalise=False), 7 * parts["correctness"]
    )


def test_unscored_rollout_leaves_its_group_and_the_rest_is_normalised_alone():
    rewards = {"correctness": np.array([1, 0, 0, np.nan]), "x": np.array([1.0, 2.0, 3.0, 1e6])}
    scored = np.array([True, True, True, False])
    parts = component_advantages(rewards, 4, scored, ["pass_at_1"] * 99, 1)
    np.testing.assert_allclose(parts["x"], [-(1.5**0.5), 0, 1.5**0.5, 0], atol=1e-12)
    assert parts["correctness"][3] == 0
    assert abs(combine(parts, {"correctness": 1.0, "x": 1.0}).sum()) < 1e-12


def test_reward_that_does_not_apply_leaves_the_other_components():
    rewards = {"correctness": np.array([1.0, 0.0]), "x": np.array([np.nan, np.nan])}
    parts = component_advantages(rewards, 2, ALL[:2], ["pass_at_1"] * 99, 1)
    np.testing.assert_allclose(parts["correctness"], [1, -1])
    assert not parts["x"].any()


def test_broken_groups_are_refused():
    with pytest.raises(ValueError, match="whole groups"):
        component_advantages({"x": np.zeros(6)}, 4, np.ones(6, dtype=bool), ["pass_at_1"] * 99, 1)


@given(
    hnp.arrays(np.float64, 8, elements=st.floats(-1e3, 1e3)),
    hnp.arrays(np.bool_, 8),
    st.floats(0.1, 50),
    st.floats(-50, 50),
)
def test_z_scores_sum_to_zero_and_ignore_scale_and_shift(values, valid, scale, shift):
    scores = standardise(values, valid)
    assert abs(scores.sum()) < 1e-6 and not scores[~valid].any()
    if values[valid].size > 1 and values[valid].std() > 1e-3:
        np.testing.assert_allclose(standardise(values * scale + shift, valid), scores, atol=1e-6)


@given(st.integers(1, 4), st.randoms(use_true_random=False))
def test_order_of_groups_does_not_matter(group_count: int, random):
    size = 4
    rewards = {
        "correctness": np.array([float(random.random() < 0.5) for _ in range(group_count * size)]),
        "x": np.array([random.random() for _ in range(group_count * size)]),
    }
    scored = np.ones(group_count * size, dtype=bool)
    weights = {"correctness": 1.0, "x": 0.3}
    whole = combine(component_advantages(rewards, size, scored, ["blend"] * 99, 2), weights)
    order = list(range(group_count))
    random.shuffle(order)
    index = np.concatenate([np.arange(g * size, (g + 1) * size) for g in order])
    moved = {name: values[index] for name, values in rewards.items()}
    again = combine(component_advantages(moved, size, scored, ["blend"] * 99, 2), weights)
    np.testing.assert_allclose(again, whole[index], atol=1e-12)
