from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.voting_filter.ballot import Ballot, Vote
from components.voting_filter.blind import chance_level, independence

SEEING = 5


def ballot(question, truth, blind, answer_type="span", choices=(), votes=None) -> Ballot:
    seeing = [truth] * SEEING if votes is None else votes
    return Ballot(
        question=question,
        answers=(truth,),
        answer_type=answer_type,
        choices=tuple(choices),
        votes=tuple(Vote(str(i), answer) for i, answer in enumerate(seeing)),
        blind=tuple(Vote(str(i), answer) for i, answer in enumerate(blind)),
    )


def known(ballots: list[Ballot]) -> list[float]:
    settled = [b.normalised(b.reference) for b in ballots]
    return independence(ballots, settled).items


def yes_no_world(n: int, planted: int, seed: int = 0) -> list[Ballot]:
    """Different yes/no questions: `n` that blind voters guess, then `planted` that they mostly know."""
    rng = random.Random(seed)

    def said(truth: str, right: float) -> str:
        return truth if rng.random() < right else ("no" if truth == "yes" else "yes")

    ballots = []
    for i in range(n + planted):
        truth = rng.choice(["yes", "no"])
        votes = [said(truth, 0.9) for _ in range(SEEING)]
        blind = [said(truth, 0.9 if i >= n else 0.5) for _ in range(SEEING)]
        ballots.append(ballot(f"{i}?", truth, blind, "yes_no", votes=votes))
    return ballots


def test_chance_levels():
    assert chance_level(ballot("?", "yes", [], "yes_no")) == 0.5
    assert chance_level(ballot("?", "A", [], "choice", "wxyz")) == 0.25
    assert 0 < chance_level(ballot("?", "x", [])) < 0.05


def test_a_free_answer_that_nobody_could_guess_is_known():
    (found,) = known([ballot("What is the capital of France?", "Paris", ["Paris", "paris.", "Lyon"])])
    assert found > 0.9


def test_free_answers_that_do_not_match_are_not_known():
    assert known([ballot("?", "Paris", ["Lyon", "Rome", "Oslo"])]) == [pytest.approx(0, abs=0.01)]


def test_without_blind_votes_or_without_a_settled_answer_nothing_is_known():
    assert known([ballot("?", "Paris", [])]) == [0.0]
    assert independence([ballot("?", "Paris", ["Paris"] * 5)], [""]).items == [0.0]


def test_a_question_whose_answer_changes_with_the_image_is_not_known():
    """Everybody guesses D: right for every fourth image."""
    gears = [ballot("Which gear?", gear, ["D"] * 5) for gear in "DPRN" * 5]
    assert max(known(gears)) < 0.01


def test_a_wrong_item_of_a_known_question_is_not_right_without_the_image():
    capital = [ballot("What is the capital of France?", "Paris", ["Paris"] * 3) for _ in range(3)]
    wrong = ballot("What is the capital of France?", "Rome", ["Paris"] * 3, votes=["Paris"] * 5)
    found = independence([*capital, wrong], ["paris"] * 4).items
    assert min(found[:3]) > 0.9 and found[3] == 0.0


def test_lucky_guesses_prove_nothing_where_guessing_is_all_there_is():
    """Of 400 image-dependent yes/no questions about 12 are guessed right by all five voters."""
    found = known(yes_no_world(400, 0))
    assert sum(p >= 0.5 for p in found) == 0 and sum(p >= 0.1 for p in found) <= 8


def test_planted_yes_no_questions_are_found_among_guessed_ones():
    found = known(yes_no_world(300, 150, seed=1))
    assert sum(p >= 0.1 for p in found[300:]) >= 0.95 * 150
    assert sum(p >= 0.5 for p in found[:300]) <= 0.15 * 300


def test_the_share_of_known_questions_is_estimated():
    ballots = yes_no_world(1400, 600, seed=2)
    (form,) = independence(ballots, [b.reference for b in ballots]).forms
    assert (form.answer_type, form.questions) == ("yes_no", 2000)
    assert form.known == pytest.approx(0.3, abs=0.07)


def test_shared_prejudice_is_not_knowledge():
    """All voters guess the same, and half of the time it is true: that they agree says nothing."""
    rng = random.Random(3)
    ballots = [
        ballot(f"{i}?", rng.choice(["yes", "no"]), [rng.choice(["yes", "no"])] * 5, "yes_no")
        for i in range(200)
    ]
    assert sum(p >= 0.5 for p in known(ballots)) == 0


def test_an_answer_that_voters_favour_everywhere_is_a_guess():
    others = [ballot(f"How many {i}?", str(i + 10), ["2", "2"], "number") for i in range(20)]
    favoured = ballot("How many lights?", "2", ["2", "2"], "number")
    unusual = ballot("How many wheels?", "4", ["4", "4"], "number")
    *_, guess, knowledge = known([*others, favoured, unusual])
    assert guess < 0.1 < 0.5 < knowledge


answers = st.sampled_from(["red", "blue", "green"])
ballots = st.lists(
    st.builds(ballot, st.sampled_from(["a?", "b?", "c?"]), answers, st.lists(answers, max_size=4)), max_size=8
)


@settings(max_examples=50, deadline=None)
@given(ballots, st.randoms(use_true_random=False))
def test_neither_the_order_of_items_nor_of_voters_matters(items, rng):
    expected = known(items)
    assert all(0 <= p <= 1 for p in expected)
    order = list(range(len(items)))
    rng.shuffle(order)
    shuffled = [replace(items[i], votes=items[i].votes[::-1], blind=items[i].blind[::-1]) for i in order]
    assert known(shuffled) == pytest.approx([expected[i] for i in order], abs=1e-6)
