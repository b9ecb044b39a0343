from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.core.stage.settings import Endpoint
from components.voting_filter.ballot import REASONS, Ballot, Vote
from components.voting_filter.config import Config
from components.voting_filter.methods.majority import decide, majority_answer

COLOURS = ("red", "blue", "green", "amber")


def config(**settings) -> Config:
    voters = [Endpoint(base_url="http://localhost/v1", model=name) for name in "abcde"]
    return Config(voters=voters, **settings)


def ballot(
    proposed: str, answers: list[str], answer_type: str = "span", choices: tuple[str, ...] = ()
) -> Ballot:
    votes = tuple(Vote(str(i), answer) for i, answer in enumerate(answers))
    return Ballot(
        question="What is it?",
        answers=(proposed,),
        answer_type=answer_type,
        choices=choices,
        votes=votes,
    )


@pytest.mark.parametrize(
    ("proposed", "answers", "agreement", "voted", "reason"),
    [
        ("red", ["red", "Red.", "red"], 1, "red", ""),
        ("red", ["red", "red", "blue"], 2 / 3, "red", ""),  # exactly the threshold
        ("red", ["red", "blue", "blue"], 1 / 3, "blue", "out_voted"),
        ("red", ["red", "blue", "green"], 1 / 3, "", "no_majority"),
        ("red", ["red", "red", "red", "blue", "green"], 3 / 5, "red", "low_agreement"),
        ("red", ["red", "red", "blue", "blue"], 1 / 2, "", "no_majority"),  # half is no strict majority
        ("red", ["red"], 1, "red", "too_few_votes"),
        ("red", [], 0, "", "too_few_votes"),
    ],
)
def test_decisions_by_hand(proposed, answers, agreement, voted, reason):
    (decision,) = decide([ballot(proposed, answers)], config()).decisions
    assert decision.agreement == pytest.approx(agreement)
    assert decision.difficulty == pytest.approx(1 - agreement)
    assert (decision.voted_answer, decision.reason) == (voted, reason)
    assert reason == "" or reason in REASONS


@pytest.mark.parametrize(
    ("answer_type", "choices", "proposed", "answers", "voted"),
    [
        ("number", (), "1200", ["1,200 km", "1200", "12"], "1200"),
        ("yes_no", (), "no", ["Yes, there is.", "yes", "no"], "yes"),
        ("choice", ("red", "blue"), "B", ["(B)", "blue", "A. red"], "B"),
    ],
)
def test_votes_are_compared_in_the_answers_type(answer_type, choices, proposed, answers, voted):
    (decision,) = decide([ballot(proposed, answers, answer_type, choices)], config()).decisions
    assert decision.voted_answer == voted


def test_a_vote_that_is_no_answer_of_its_type_supports_nothing():
    assert majority_answer(ballot("3", ["several", "several", "several"], "number")) == ""


@given(
    st.sampled_from(COLOURS),
    st.lists(st.sampled_from(COLOURS), max_size=7),
    st.randoms(use_true_random=False),
)
def test_agreement_is_a_share_and_the_order_of_voters_does_not_matter(proposed, answers, rng: random.Random):
    (decision,) = decide([ballot(proposed, answers)], config()).decisions
    assert 0 <= decision.agreement <= 1 and decision.difficulty == 1 - decision.agreement
    shuffled = list(answers)
    rng.shuffle(shuffled)
    assert decide([ballot(proposed, shuffled)], config()).decisions == [decision]


@given(st.lists(st.sampled_from(COLOURS), min_size=2, max_size=7))
def test_an_item_is_kept_exactly_if_enough_votes_agree(answers):
    (decision,) = decide([ballot("red", answers)], config(agreement_threshold=0.6)).decisions
    assert (decision.reason == "") == (answers.count("red") >= 0.6 * len(answers) - 1e-9)
    if decision.reason == "out_voted":
        assert 2 * answers.count(decision.voted_answer) > len(answers) and decision.voted_answer != "red"
