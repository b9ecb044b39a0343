from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.hybrid_rl.config import Config
from components.hybrid_rl.rewards import Group
from components.hybrid_rl.rewards.length import pressure
from components.hybrid_rl.rollouts.rollout import make_rollout
from components.hybrid_rl.scoring import Scorer

PROMPT = {"image_id": "i", "question": "?", "reference": "7", "answer_type": "number", "choices": []}
GROUPS = st.lists(st.tuples(st.integers(1, 64), st.booleans()), min_size=2, max_size=8)


def config(**length) -> Config:
    only = {"format": 0, "overlong": 0, "diversity": 0, "length": 1.0}
    modes = {"advantage": "pass_at_1", "batch_normalise": False}
    return Config(group_size=4, k=2, weights=only, length=length, **modes)


def rollout(prompt: str, right: bool, tokens: int, start: float = 0.0):
    row = {**PROMPT, "prompt_id": prompt, "start_tokens": start}
    return make_rollout(row, "7" if right else "8", [5] * tokens, frozenset({1}))


def group(lengths: list[int], right: list[bool], start: float = 0.0) -> Group:
    rollouts = [rollout("p", *pair, start) for pair in zip(right, lengths, strict=True)]
    return Group(rollouts, right, [0] * len(right))


def test_pressure_by_hand():
    mixed = group([4, 6, 8, 12], [True, True, True, False])
    assert pressure(mixed, config()) == 1.0
    assert pressure(mixed, config(by_pass_rate=True)) == 0.75
    # 12 - 4 = 8 tokens of 16 from which brevity counts in full.
    assert pressure(mixed, config(full_difference=16)) == 0.5
    assert pressure(mixed, config(full_difference=16, by_pass_rate=True)) == 0.375
    assert pressure(group([3, 3], [True, False]), config()) == 0.0
    assert pressure(mixed, config(answer_types=["span", "number"])) == 1.0
    assert pressure(mixed, config(answer_types=["span", "yes_no"])) == 0.0


@pytest.mark.parametrize(
    ("start", "share"),
    # 6 tokens on average: all of the start, 80 %, 60 %, 50 %, more than the start, and not measured.
    [(6, 1.0), (7.5, 0.5), (10, 0.0), (12, 0.0), (4, 1.0), (0, 1.0)],
)
def test_pressure_ends_where_answers_are_short_enough(start, share):
    assert pressure(group([4, 8], [True, True], start), config(until=0.6)) == pytest.approx(share)


def test_lengths_have_to_be_measured():
    with pytest.raises(ValueError, match=r"length\.until needs prompts\.pass_rate_samples"):
        Config(length={"until": 0.6}, prompts={"pass_rate_samples": 0})
    taught = {"objective": "distill", "teacher": {"checkpoint": "teacher"}}
    assert Config(length={"until": 0.6}, prompts={"pass_rate_samples": 0}, **taught).length.until == 0.6


@given(GROUPS, st.integers(1, 64), st.booleans())
def test_pressure_is_a_share_and_more_difference_means_no_less(pairs, full, by_pass_rate):
    tokens, right = [list(column) for column in zip(*pairs, strict=True)]
    settings = config(full_difference=full, by_pass_rate=by_pass_rate)
    share = pressure(group(tokens, right), settings)
    assert 0.0 <= share <= 1.0
    assert share <= pressure(group([2 * n for n in tokens], right), settings)


@pytest.mark.parametrize("by_pass_rate", [False, True])
def test_a_hard_question_is_pressed_by_its_pass_rate(by_pass_rate):
    """Two groups with the same order of rewards: the z-scores of each are equal, the advantages are not."""
    scorer = Scorer(config(by_pass_rate=by_pass_rate))
    rows = [rollout("easy", True, n) for n in (4, 6, 8, 10)]
    rows += [rollout("hard", right, n) for right, n in ((True, 4), (True, 6), (True, 8), (False, 10))]
    scored = scorer.score(scorer.singles(rows), 0.5)
    length = scored.components["length"].reshape(2, 4)
    assert length.sum(axis=1) == pytest.approx(0)
    assert length[1] == pytest.approx(length[0] * (0.75 if by_pass_rate else 1.0))
    assert np.abs(length[0]).max() > 1
