"""Decisions by Dawid-Skene: thresholds, reasons, and what the model is told."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.core.stage.settings import Endpoint
from components.voting_filter.ballot import AUTHOR, REASONS, Ballot, Vote
from components.voting_filter.config import Config
from components.voting_filter.methods import load_method, method_names
from components.voting_filter.methods.dawid_skene import NO_ANSWER, candidates, decide

COLOURS = ("red", "blue", "green", "amber")


def config(**settings) -> Config:
    voters = [Endpoint(base_url="http://localhost/v1", model=name) for name in "abcde"]
    return Config(voters=voters, **settings)


def ballot(proposed: str, answers: list[str], answer_type: str = "span", choices=()) -> Ballot:
    votes = tuple(Vote("abcde"[i], answer) for i, answer in enumerate(answers))
    return Ballot(
        question="What is it?",
        answers=(proposed,),
        answer_type=answer_type,
        choices=tuple(choices),
        votes=votes,
    )


def world(n: int, rates: list[float], author: float, seed: int = 0) -> tuple[list[Ballot], list[bool]]:
    """Items of every type with errors at the given rates; also which proposed answers are right."""
    rng = random.Random(seed)
    kinds = [
        ("yes_no", (), ["yes", "no"]),
        ("choice", COLOURS, ["A", "B", "C", "D"]),
        ("number", (), [str(i) for i in range(12)]),
        ("span", (), list(COLOURS)),
    ]
    ballots, right = [], []
    for i in range(n):
        kind, choices, answers = kinds[i % 4]
        truth = rng.choice(answers)

        def said(rate: float, truth: str = truth, answers: list[str] = answers) -> str:
            return rng.choice([a for a in answers if a != truth]) if rng.random() < rate else truth

        proposed = said(author)
        right.append(proposed == truth)
        ballots.append(ballot(proposed, [said(rate) for rate in rates], kind, choices))
    return ballots, right


def f1(kept: list[bool], right: list[bool]) -> float:
    both = sum(k and r for k, r in zip(kept, right, strict=True))
    return 2 * both / (sum(kept) + sum(right))


def test_candidates_join_by_agreement_and_the_proposed_answer_comes_first():
    found = candidates(ballot("1200", ["12", "1,200 km", "several", "12 km", "7"], "number"))
    assert found.answers == ("1200", "12", "7") and found.votes == (1, 0, NO_ANSWER, 1, 2)


@pytest.mark.parametrize(
    ("proposed", "answers", "reason", "voted"),
    [
        ("red", ["red", "red", "red", "red", "red"], "", "red"),
        ("red", ["blue", "blue", "blue", "blue", "blue"], "out_voted", "blue"),
        ("red", ["red"], "too_few_votes", None),
        ("red", [], "too_few_votes", ""),
        ("?", ["blue", "green", "amber", "red", "black"], "no_majority", ""),
    ],
)
def test_reasons_among_ordinary_items(proposed, answers, reason, voted):
    others, _ = world(200, [0.3] * 5, 0.3)
    decision = decide([*others, ballot(proposed, answers)], config()).decisions[-1]
    assert decision.reason == reason and (reason == "" or reason in REASONS)
    if voted is not None:
        assert decision.voted_answer == voted
    assert decision.agreement == pytest.approx(answers.count(proposed) / len(answers) if answers else 0)
    assert decision.difficulty == pytest.approx(1 - decision.agreement)


def test_an_item_is_kept_exactly_at_the_threshold():
    ballots, _ = world(120, [0.2, 0.3, 0.4], 0.3)
    posterior = sorted(d.posterior for d in decide(ballots, config()).decisions if d.agreement > 0)[30]
    at = decide(ballots, config(posterior_threshold=posterior)).decisions
    assert all((d.reason == "") == (d.posterior >= posterior and d.agreement > 0) for d in at)
    assert any(d.posterior == posterior and not d.reason for d in at)


def test_what_no_voter_confirms_is_not_kept_however_reliable_the_author():
    ballots, _ = world(2000, [0.5, 0.5, 0.5], 0.0)
    lonely = ballot("red", ["blue", "green", "amber"])
    *_, decision = decide([*ballots, lonely], config()).decisions
    assert decision.posterior > 0.7 and decision.reason == "low_agreement"


@pytest.mark.parametrize("answer_type", ["yes_no", "number"])
def test_votes_that_are_no_answers_confirm_nothing(answer_type):
    proposed = {"yes_no": "yes", "number": "3"}[answer_type]
    (decision,) = decide([ballot(proposed, ["unclear"] * 3, answer_type)], config()).decisions
    assert decision.reason and decision.agreement == 0


def test_a_proposed_answer_that_is_none_is_never_kept():
    found = decide(
        [ballot("many", ["3", "3", "3"], "number"), ballot("maybe", ["no"] * 3, "yes_no")], config()
    )
    assert [(d.posterior, d.reason) for d in found.decisions] == [(0.0, "out_voted")] * 2


@pytest.mark.parametrize("author", [0.1, 0.4])
@pytest.mark.parametrize("rates", [[0.15] * 5, [0.03, 0.06, 0.12, 0.3, 0.4], [0.3] * 5])
def test_at_least_as_good_as_majority(rates, author):
    ballots, right = world(1200, rates, author, seed=5)
    scores = {
        name: f1([not d.reason for d in load_method(name)(ballots, config()).decisions], right)
        for name in method_names()
    }
    assert scores["dawid_skene"] >= scores["majority"]


def test_reliabilities_are_estimated_by_voter_and_type():
    ballots, _ = world(4000, [0.05, 0.2, 0.4], 0.3)
    found = {(r.voter, r.answer_type): r for r in decide(ballots, config()).reliabilities}
    assert len(found) == 4 * 4 and all(r.votes == 1000 for r in found.values())
    for voter, error in ((AUTHOR, 0.3), ("a", 0.05), ("b", 0.2), ("c", 0.4)):
        for kind in ("yes_no", "choice", "number", "span"):
            assert found[voter, kind].probability == pytest.approx(1 - error, abs=0.06)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100), st.randoms(use_true_random=False))
def test_the_order_of_items_and_votes_does_not_matter(seed, rng):
    ballots, _ = world(24, [0.2, 0.3, 0.4], 0.3, seed)
    order = rng.sample(range(24), 24)
    shuffled = [
        replace(ballots[i], votes=tuple(rng.sample(ballots[i].votes, len(ballots[i].votes)))) for i in order
    ]
    one, other = decide(ballots, config()).decisions, decide(shuffled, config()).decisions
    for place, found in zip(order, other, strict=True):
        assert found.posterior == pytest.approx(one[place].posterior, abs=1e-6)
        assert (found.agreement, found.voted_answer) == (one[place].agreement, one[place].voted_answer)
