"""The comparison of rollout engine and trainer: its figures, its bound, its message."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.errors import ConfigError
from components.core.vllm.agreement import check, compare, total

logps = st.floats(-20, 0)
pairs = st.lists(st.tuples(logps, logps), max_size=8)
responses = st.lists(pairs, max_size=6)


def sides(rows):
    return [[a for a, _ in row] for row in rows], [[b for _, b in row] for row in rows]


def test_figures_of_two_responses():
    """Differences 0.5, 0 and 0.25 over three tokens; the padding of the second row counts for nothing."""
    found = compare([[-1.0, -2.0], [-0.5]], [[-1.5, -2.0], [-0.25, -9.0]])
    assert (found.tokens, found.rollout, found.trainer) == (3, -3.5, -3.75)
    assert found.difference == 0.25


def test_tokens_without_a_number_are_left_out():
    assert compare([[None, math.nan, -1.0]], [[-5.0, -5.0, -1.0]]).tokens == 1


@given(responses)
def test_equal_sides_agree(rows):
    own, _ = sides(rows)
    found = compare(own, own)
    assert found.tokens == sum(map(len, own))
    assert found.apart == 0


@given(responses, st.integers(0, 6))
def test_processes_add_up_to_the_whole(rows, cut):
    theirs, ours = sides(rows)
    parts = [compare(theirs[:cut], ours[:cut]), compare(theirs[cut:], ours[cut:])]
    whole, summed = compare(theirs, ours), total(parts)
    assert summed.tokens == whole.tokens
    assert summed.apart == pytest.approx(whole.apart)
    assert summed.rollout == pytest.approx(whole.rollout)


@given(responses)
def test_the_mean_difference_is_at_least_the_difference_of_the_means(rows):
    found = compare(*sides(rows))
    assert found.apart >= abs(found.rollout - found.trainer) - 1e-9


def test_within_the_bound_nothing_happens():
    check(compare([[-1.0]], [[-1.25]]), 0.25, "s", "vLLM", "transformers")


def test_beyond_the_bound_both_are_named_with_their_figures():
    found = compare([[-1.0, -1.0]], [[-2.0, -3.0]])
    with pytest.raises(ConfigError) as raised:
        check(found, 0.1, "hybrid_rl.vllm.max_logprob_difference", "vLLM (0.31.0)", "transformers (5.17)")
    message = str(raised.value)
    assert raised.value.exit_code == 78
    assert "vLLM (0.31.0) gives its answers a log-probability of -1.000 a token" in message
    assert "transformers (5.17) -2.500" in message
    assert "1.500 (over 2 tokens), more than hybrid_rl.vllm.max_logprob_difference (0.1)" in message
    assert "\n" not in message


def test_a_trainer_that_gives_no_number_is_no_agreement():
    with pytest.raises(ConfigError):
        check(compare([[-1.0]], [[math.nan]]), 0.1, "s", "vLLM", "transformers")


def test_nothing_to_compare_is_no_agreement():
    with pytest.raises(ConfigError, match="gave no log-probabilities"):
        check(compare([[], [None]], [[], [-1.0]]), 0.1, "s", "vLLM", "transformers")
