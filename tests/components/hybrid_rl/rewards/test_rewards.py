from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core import answers
from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Group, Rollout
from components.hybrid_rl.rewards.correctness import correctness
from components.hybrid_rl.rewards.diversity import (
    answer_similarity,
    clusters,
    distinctness,
    diversity,
    word_similarity,
)
from components.hybrid_rl.rewards.format import well_formed
from components.hybrid_rl.rewards.length import length
from components.hybrid_rl.rewards.overlong import overlong
from components.hybrid_rl.rewards.perception import perception
from components.hybrid_rl.rollouts.guards import lists_all_choices, repeats


def rollout(
    response: str, answer_type: str = "number", reference: str = "7", choices: tuple[str, ...] = (), **more
) -> Rollout:
    answer = answers.extract(response, answer_type, choices)
    return Rollout(
        prompt_id="p",
        image_id="i",
        question="q?",
        answers=(reference,),
        answer_type=answer_type,
        choices=choices,
        response=response,
        answer=answer,
        tokens=len(response.split()),
        **more,
    )


@pytest.mark.parametrize(
    ("response", "answer_type", "reference", "choices", "expected"),
    [
        ("7", "number", "7", (), 1),
        ("The needle is at 8. Answer: 7", "number", "7", (), 1),
        ("Answer: 8", "number", "7", (), 0),
        ("", "number", "7", (), 0),
        ("Answer:", "number", "7", (), 0),
        ("B", "choice", "B", ("red", "green"), 1),
        ("Answer: B. green", "choice", "B", ("red", "green"), 1),
        ("Answer: A, B", "choice", "B", ("red", "green"), 0),
        ("A, B, C", "choice", "A", ("w", "x", "y", "z"), 0),
        ("Answer: A or B", "choice", "A", ("w", "x", "y", "z"), 0),
        ("Between B and C. Answer: C", "choice", "C", ("w", "x", "y", "z"), 1),
        ("Answer: red or green", "choice", "A", ("red", "green"), 0),
        ("no", "yes_no", "no", (), 1),
        ("yes no", "yes_no", "yes", (), 0),
        ("Answer: 3 Answer: 7", "number", "7", (), 0),
        ("the answer is 7 7 7 7 7 7 7 7 7", "number", "7", (), 0),
    ],
)
def test_correctness_by_answer_type_and_guards(response, answer_type, reference, choices, expected):
    assert correctness(rollout(response, answer_type, reference, choices), Config()) == expected


def test_repeats_counts_the_commonest_ngram():
    assert repeats("a b c d a b c d a b c d x", 4) == 3
    assert repeats("one two three", 4) == 0


def test_all_choices_listed_means_whole_words():
    assert lists_all_choices("A B C", ("x", "y", "z"))
    assert not lists_all_choices("A B", ("x", "y", "z"))
    assert not lists_all_choices("the speed indicator", ("d", "r"))
    assert not lists_all_choices("A", ("red",))


@pytest.mark.parametrize(
    ("response", "more", "expected"),
    [
        ("Answer: 7", {}, 1),
        ("7", {}, 1),
        ("seven of them", {}, 1),
        ("", {}, 0),
        ("Answer: 7", {"truncated": True}, 0),
        ("no idea", {}, 0),
    ],
)
def test_format_wants_one_finished_answer(response, more, expected):
    assert well_formed(rollout(response, **more), Config()) == expected


def lengths(tokens: list[int], right: list[bool]) -> Group:
    return Group([replace(rollout("7"), tokens=n) for n in tokens], right, [0] * len(tokens))


def test_length_reward_by_hand():
    # lengths 10..50: lambda = 0.5, 0.25, 0, -0.25, -0.5; wrong ones are cut at 0 from above.
    assert length(lengths([10, 20, 30, 40, 50], [True] * 5)) == [0.5, 0.25, 0.0, -0.25, -0.5]
    mixed = lengths([10, 20, 30, 40, 50], [False, True, False, True, False])
    assert length(mixed) == [0.0, 0.25, 0.0, -0.25, -0.5]
    assert length(lengths([7, 7, 7], [True, False, True])) == [0.0, 0.0, 0.0]


@given(st.lists(st.tuples(st.integers(1, 500), st.booleans()), min_size=1, max_size=20))
def test_length_reward_bounds_and_order(pairs):
    tokens, correct = [p[0] for p in pairs], [p[1] for p in pairs]
    rewards = length(lengths(tokens, correct))
    assert all(-0.5 <= r <= 0.5 for r in rewards)
    assert all(r <= 0 for r, ok in zip(rewards, correct, strict=True) if not ok)
    right = sorted((n, r) for n, r, ok in zip(tokens, rewards, correct, strict=True) if ok)
    assert [r for _, r in right] == sorted((r for _, r in right), reverse=True)


@pytest.mark.parametrize(
    ("tokens", "limit", "cache", "expected"),
    [
        (80, 100, 20, 0),
        (85, 100, 20, -0.25),
        (90, 100, 20, -0.5),
        (100, 100, 20, -1),
        (120, 100, 20, -1),
        (99, 100, 0, 0),
        (100, 100, 0, -1),
    ],
)
def test_soft_overlong_penalty(tokens, limit, cache, expected):
    config = Config(max_completion_tokens=limit, overlong_cache_tokens=cache)
    assert overlong(replace(rollout("7"), tokens=tokens), config) == expected


@pytest.mark.parametrize(
    ("right", "same", "expected"), [(True, False, 1), (True, True, 0), (False, True, -1), (False, False, 0)]
)
def test_perception_rewards_evidence_and_penalises_the_prior(right, same, expected):
    response = "7" if right else "8"
    blank = response if same else "9"
    assert perception(rollout(response, blank_answer=blank), Config()) == expected


@pytest.mark.parametrize(
    ("right", "blank", "swapped", "expected"),
    [
        (True, False, False, 1), (True, True, False, 0.5), (True, True, True, 0),
        (False, True, True, -1), (False, False, True, -0.5), (False, False, False, 0),
    ],
)  # fmt: skip
def test_perception_takes_off_half_for_each_other_picture_that_says_the_same(right, blank, swapped, expected):
    response = "7" if right else "8"
    others = [response if same else "9" for same in (blank, swapped)]
    made = rollout(response, blank_answer=others[0], swapped_answer=others[1])
    assert perception(made, Config()) == expected


def test_perception_ignores_a_picture_that_gave_no_answer():
    assert perception(rollout("", blank_answer="", swapped_answer=""), Config()) == 0
    assert perception(rollout("7", swapped_answer="7"), Config()) == 0
    assert perception(rollout("7"), Config()) is None


def components_by_closure(n: int, edge: Callable[[int, int], bool]) -> list[int]:
    """Reference: transitive closure by repeated relabelling."""
    label = list(range(n))
    changed = True
    while changed:
        changed = False
        for i in range(n):
            for j in range(n):
                if edge(i, j) and label[i] != label[j]:
                    label[i] = label[j] = min(label[i], label[j])
                    changed = True
    order: dict[int, int] = {}
    return [order.setdefault(x, len(order)) for x in label]


@given(st.integers(0, 9), st.sets(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=20))
def test_clusters_are_connected_components(n, pairs):
    def edge(i: int, j: int) -> bool:
        return i == j or (i, j) in pairs or (j, i) in pairs

    assert clusters(list(range(n)), lambda i, j: float(edge(i, j)), 0.5) == components_by_closure(n, edge)


def test_clusters_join_above_the_threshold_only():
    # 1-2 and 2-3 are near enough; 1-3 is not, yet they meet through 2. Equal to the threshold does not join.
    assert clusters([1, 2, 3, 10, 20], lambda a, b: 1 / (1 + abs(a - b)), 0.4) == [0, 0, 0, 1, 2]
    assert clusters([1, 2], lambda a, b: 0.5, 0.5) == [0, 1]


def test_diversity_counts_among_right_responses():
    assert distinctness([0, 0, 0, 1]) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert distinctness([0]) == [0.0]
    # Right: clusters 0, 0, 2 -> (3 - 2) / 2 for the two alike, 1 for the odd one; wrong ones get nothing.
    group = Group([], [True, False, True, True, False], [0, 1, 0, 2, 1])
    assert diversity(group) == [0.5, 0.0, 0.5, 1.0, 0.0]
    assert diversity(Group([], [True, False, False], [0, 1, 2])) == [0.0, 0.0, 0.0]
    assert diversity(Group([], [True, True], [0, 0])) == [0.0, 0.0]


def test_similarities():
    assert answer_similarity(rollout("7"), rollout("It says so. Answer: 7.0")) == 1.0
    assert answer_similarity(rollout("7"), rollout("8")) == 0.0
    assert answer_similarity(rollout(""), rollout("")) == 1.0
    assert answer_similarity(rollout(""), rollout("8")) == 0.0
    assert word_similarity(rollout("a b c"), rollout("a b d")) == pytest.approx(1 / 3)
    assert word_similarity(rollout("7"), rollout("7")) == 1.0
