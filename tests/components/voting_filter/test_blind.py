from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.voting_filter.ballots import Ballot, Vote
from components.voting_filter.blind import binomial_tail, chance_level, image_independent


def ballot(question, proposed, blind, answer_type="span", choices=()) -> Ballot:
    votes = tuple(Vote(str(i), answer) for i, answer in enumerate(blind))
    return Ballot(question, proposed, answer_type, tuple(choices), blind=votes)


def independent(ballots: list[Ballot]) -> list[bool]:
    return image_independent(ballots, threshold=2 / 3, significance=0.05)


def test_binomial_tail_by_hand():
    assert binomial_tail(3, 3, 0.25) == pytest.approx(1 / 64)
    assert binomial_tail(2, 3, 0.5) == pytest.approx(0.5)
    assert binomial_tail(2, 2, 0.0) == 0 and binomial_tail(0, 4, 0.3) == pytest.approx(1)


def test_chance_levels():
    assert chance_level(ballot("?", "yes", [], "yes_no")) == 0.5
    assert chance_level(ballot("?", "A", [], "choice", "wxyz")) == 0.25
    assert chance_level(ballot("?", "x", [])) == 0


def test_a_free_answer_that_nobody_could_guess_is_caught():
    assert independent([ballot("What is the capital of France?", "Paris", ["Paris", "paris.", "Lyon"])]) == [
        True
    ]


def test_half_of_the_blind_votes_is_not_enough():
    assert independent([ballot("?", "Paris", ["Paris", "Lyon"])]) == [False]


def test_without_blind_votes_nothing_is_known():
    assert independent([ballot("?", "Paris", [])]) == [False]


def test_three_right_guesses_prove_nothing_for_yes_no_but_five_do():
    """0.5^3 = 0.125 > 0.05 > 0.5^5 = 0.031."""
    assert independent([ballot("?", "yes", ["yes"] * 3, "yes_no")]) == [False]
    assert independent([ballot("?", "yes", ["yes"] * 5, "yes_no")]) == [True]


def test_four_choices_need_three_right_guesses():
    """0.25^2 = 0.0625 > 0.05 > 0.25^3 = 0.016."""
    assert independent([ballot("?", "A", ["A"] * 2, "choice", "wxyz")]) == [False]
    assert independent([ballot("?", "A", ["A"] * 3, "choice", "wxyz")]) == [True]


def test_a_question_whose_answer_changes_with_the_image_is_not_independent():
    """Two voters guess D for every image; 1 of 4 items is D: 2 of 8 votes are right."""
    gears = [ballot("Which gear?", gear, ["D", "D"]) for gear in "DPRN"]
    assert independent(gears) == [False] * 4
    assert independent(gears[:1]) == [True]


def test_an_answer_that_voters_favour_everywhere_is_a_guess():
    """Voters answer 2 to every counting question: p = 40 / (40 + 10) = 0.8 for the last item, 0.8^2 > 0.05."""
    others = [ballot(f"How many {i}?", str(i + 10), ["2", "2"], "number") for i in range(20)]
    assert independent([*others, ballot("How many lights?", "2", ["2", "2"], "number")])[-1] is False


def test_an_answer_that_items_mostly_have_is_a_guess():
    """Blind votes never say yes elsewhere, but 20 of 20 other items do: p = (20 + 5) / 30, p^5 = 0.40."""
    others = [ballot(f"Is there {i}?", "yes", ["no"] * 5, "yes_no") for i in range(20)]
    assert independent([*others, ballot("Is it on?", "yes", ["yes"] * 5, "yes_no")])[-1] is False


answers = st.sampled_from(["red", "blue", "green"])
ballots = st.lists(
    st.builds(ballot, st.sampled_from(["a?", "b?", "c?"]), answers, st.lists(answers, max_size=4)), max_size=8
)


@given(ballots, st.randoms(use_true_random=False))
def test_neither_the_order_of_items_nor_of_voters_matters(items, rng):
    expected = independent(items)
    order = list(range(len(items)))
    rng.shuffle(order)
    shuffled = [
        ballot(items[i].question, items[i].answer, [v.answer for v in reversed(items[i].blind)])
        for i in order
    ]
    assert independent(shuffled) == [expected[i] for i in order]
