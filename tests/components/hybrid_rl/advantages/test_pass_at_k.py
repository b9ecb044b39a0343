from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stats import pass_at_k
from components.hybrid_rl.advantages.pass_at_k import (
    answer_entropy,
    blended_advantage,
    correctness_advantage,
    group_advantage,
    modes_at,
)


def brute_force(correct: np.ndarray, k: int) -> np.ndarray:
    """Definition: a k-subset's reward is 1 if any member is right; a rollout's advantage is the mean over the
    subsets that contain it of (reward - mean) / standard deviation, mean and deviation taken over all
    k-subsets."""
    subsets = list(combinations(range(len(correct)), k))
    rewards = np.array([float(correct[list(s)].any()) for s in subsets])
    if rewards.std() == 0:
        return np.zeros(len(correct))
    z = (rewards - rewards.mean()) / rewards.std()
    return np.array([z[[i in s for s in subsets]].mean() for i in range(len(correct))])


@pytest.mark.parametrize("n", range(1, 13))
def test_pass_at_k_advantage_equals_brute_force_over_all_subsets(n: int):
    for k in range(1, n + 1):
        for right in range(n + 1):
            correct = np.arange(n) < right
            advantage = group_advantage(correct, k)
            np.testing.assert_allclose(advantage, brute_force(correct, k), atol=1e-9)
            assert abs(advantage.sum()) < 1e-9


@pytest.mark.parametrize(
    ("right", "positive", "negative"),
    # N = 8, k = 4, one right: mean R = 1 - C(7,4)/C(8,4) = 1/2, sigma = 1/2, A+ = 1, A- = (1/2 - 20/35) * 2.
    [
        (0, 0, 0),
        (1, 1.0, -1 / 7),
        (2, 0.52223297, -0.17407766),
        (4, 0.12038585, -0.12038585),
        (5, 0, 0),
        (8, 0, 0),
    ],
)
def test_pass_at_4_of_8_by_hand(right: int, positive: float, negative: float):
    correct = np.arange(8) < right
    np.testing.assert_allclose(group_advantage(correct, 4), np.where(correct, positive, negative), atol=1e-8)


@given(st.lists(st.booleans(), min_size=2, max_size=64))
def test_k_of_one_is_grpos_z_score(flags: list[bool]):
    correct = np.array(flags)
    rewards = correct.astype(float)
    expected = (rewards - rewards.mean()) / rewards.std() if rewards.std() else np.zeros(len(flags))
    np.testing.assert_allclose(group_advantage(correct, 1), expected, atol=1e-9)


@given(st.lists(st.booleans(), min_size=1, max_size=64), st.data())
def test_every_mode_sums_to_zero_and_follows_permutations(flags: list[bool], data: st.DataObject):
    correct = np.array(flags)
    k = data.draw(st.integers(1, len(flags)))
    order = np.array(data.draw(st.permutations(range(len(flags)))))
    for mode in ("pass_at_1", "pass_at_k", "blend"):
        advantage = correctness_advantage(correct, k, mode)
        assert abs(advantage.sum()) < 1e-8
        np.testing.assert_allclose(correctness_advantage(correct[order], k, mode), advantage[order])


def test_blend_weighs_pass_at_k_by_accuracy():
    correct = np.array([True, True] + [False] * 6)
    expected = 0.25 * group_advantage(correct, 4) + 0.75 * group_advantage(correct, 1)
    np.testing.assert_allclose(blended_advantage(correct, 4), expected)


def test_large_groups_do_not_overflow():
    advantage = group_advantage(np.arange(4096) < 1, 2048)
    assert np.isfinite(advantage).all() and advantage[0] == pytest.approx(1.0)


@pytest.mark.parametrize("n", range(1, 11))
def test_pass_at_k_estimate_is_the_share_of_subsets_with_a_right_one(n: int):
    for c in range(n + 1):
        for k in range(1, n + 1):
            share = np.mean([any(i < c for i in s) for s in combinations(range(n), k)])
            assert pass_at_k(n, [c], k)[0] == pytest.approx(share, abs=1e-12)


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="between 0 and 4"):
        pass_at_k(4, [5], 1)
    with pytest.raises(ValueError, match="group's size"):
        group_advantage(np.array([True, False]), 3)


def test_k_is_cut_to_what_is_left_of_a_group():
    np.testing.assert_allclose(correctness_advantage(np.array([True, False]), 4, "pass_at_k"), [0, 0])
    assert len(correctness_advantage(np.zeros(0, dtype=bool), 4, "pass_at_k")) == 0


MIXED = [True] * 4
OPEN = [False] * 4


def test_schedule_changes_once():
    def mode(schedule, progress):
        (found,) = modes_at(schedule, progress, 0.5, [0.0], [True], 0.5, [False])
        return found

    assert [mode("pass_at_k_then_1", p) for p in (0.0, 0.49, 0.5, 0.99)] == ["pass_at_k"] * 2 + [
        "pass_at_1"
    ] * 2
    assert mode("blend", 0.9) == "blend"


def test_adaptive_explores_where_answers_vary_least():
    entropies = [0.7, 0.0, 1.4, 0.0]
    assert modes_at("adaptive", 0.9, 0.5, entropies, MIXED, 0.5, OPEN) == [
        "pass_at_1",
        "pass_at_k",
        "pass_at_1",
        "pass_at_k",
    ]
    assert modes_at("adaptive", 0.9, 0.5, entropies, MIXED, 0.25, OPEN) == [
        "pass_at_1",
        "pass_at_k",
        "pass_at_1",
        "pass_at_1",
    ]
    assert modes_at("adaptive", 0.0, 0.5, entropies, MIXED, 0.0, OPEN) == ["pass_at_1"] * 4
    assert modes_at("adaptive", 0.0, 0.5, entropies, MIXED, 1.0, OPEN) == ["pass_at_k"] * 4


def test_adaptive_does_not_spend_its_share_on_groups_without_a_signal():
    modes = modes_at("adaptive", 0.0, 0.5, [0.0, 0.0, 0.6, 0.9], [False, False, True, True], 0.5, OPEN)
    assert modes == ["pass_at_1", "pass_at_1", "pass_at_k", "pass_at_1"]


def test_guessable_questions_are_never_explored():
    guessable = [True, False, True, False]
    found = ["pass_at_1", "pass_at_k", "pass_at_1", "pass_at_k"]
    assert modes_at("pass_at_k", 0.9, 0.5, [0.0] * 4, MIXED, 0.5, guessable) == found
    assert modes_at("pass_at_k_then_1", 0.1, 0.5, [0.0] * 4, MIXED, 0.5, guessable) == found
    assert modes_at("blend", 0.1, 0.5, [0.0] * 4, MIXED, 0.5, guessable)[::2] == ["pass_at_1"] * 2
    # They take no part of the share either: it is that of the others, half of two.
    assert modes_at("adaptive", 0.1, 0.5, [0.0, 0.2, 0.0, 0.1], MIXED, 0.5, guessable) == [
        "pass_at_1",
        "pass_at_1",
        "pass_at_1",
        "pass_at_k",
    ]


def test_answer_entropy_is_that_of_the_clusters_shares():
    """Two meanings, half and half: ln 2; a quarter and three quarters: 0.25 ln 4 + 0.75 ln 4/3."""
    assert answer_entropy([0, 0, 0, 0]) == 0
    assert answer_entropy([0, 1, 1, 0]) == pytest.approx(math.log(2))
    assert answer_entropy([0, 1, 1, 1]) == pytest.approx(0.25 * math.log(4) + 0.75 * math.log(4 / 3))
    assert answer_entropy([0, 1, 2, 3]) == pytest.approx(math.log(4))
