from __future__ import annotations

from components.core.mllm import Answer, ChatRequest
from components.voting_filter.ask import (
    LOST_REASONS,
    AskedVote,
    CastVote,
    LostVote,
    VoteAnswer,
    VoteAnswers,
    batches,
    collect,
    collect_blind,
)

SIZES = {"questions_per_request": 2, "answer_tokens": 16}


def split(votes: list[AskedVote]) -> tuple[list[CastVote], list[LostVote]]:
    cast = [vote for vote in votes if isinstance(vote, CastVote)]
    return cast, [vote for vote in votes if isinstance(vote, LostVote)]


def row(qa_id: str, image_id: str, question: str, answer_type: str = "span", choices=()) -> dict:
    return {
        "qa_id": qa_id,
        "image_id": image_id,
        "question": question,
        "answer": "the secret",
        "answer_type": answer_type,
        "choices": list(choices),
    }


ROWS = [row("1", "x", "One?"), row("2", "x", "Two?"), row("3", "x", "Three?"), row("4", "y", "One?")]
IMAGES = {"x": b"X", "y": b"Y"}


class Recorder:
    """Answers every question with its number; keeps the requests."""

    def __init__(self, drop: int = 0, fail: bool = False) -> None:
        self.requests: list[ChatRequest] = []
        self.drop, self.fail = drop, fail

    def __call__(self, requests: list[ChatRequest]) -> list[Answer]:
        self.requests += requests
        value = VoteAnswers(answers=[VoteAnswer(index=i, answer=f"{i}.") for i in (1, 2) if i != self.drop])
        if self.fail:
            return [Answer(request.key, None, "malformed: x", 0, 0) for request in requests]
        return [Answer(request.key, value, None, 30, 10) for request in requests]


def test_requests_are_of_one_image_and_bounded():
    assert [[r["qa_id"] for r in group] for group in batches(ROWS, 2)] == [["1", "2"], ["3"], ["4"]]


def test_a_voter_never_sees_the_proposed_answer():
    ask = Recorder()
    collect(ROWS, "v", ask, IMAGES, **SIZES)
    assert [request.images for request in ask.requests] == [(b"X",), (b"X",), (b"Y",)]
    assert all("secret" not in request.prompt + request.system for request in ask.requests)
    assert "1. One?\n2. Two?" in ask.requests[0].prompt


def test_answers_go_to_their_questions_with_their_share_of_the_tokens():
    cast, lost = split(collect(ROWS, "v", Recorder(), IMAGES, **SIZES))
    assert [(vote.qa_id, vote.answer, vote.tokens) for vote in cast] == [
        ("1", "1", 20),
        ("2", "2", 20),
        ("3", "1", 40),
        ("4", "1", 40),
    ]
    assert not lost


def test_missing_answers_and_failed_requests_are_reported():
    cast, lost = split(collect(ROWS[:2], "v", Recorder(drop=1), IMAGES, **SIZES))
    assert [vote.qa_id for vote in cast] == ["2"]
    assert [(vote.id, vote.reason) for vote in lost] == [("1:v", "answer_missing")]
    cast, lost = split(collect(ROWS, "v", Recorder(fail=True), IMAGES, **SIZES))
    assert not cast and {vote.reason for vote in lost} == {"request_failed"} and len(lost) == 4
    assert {vote.reason for vote in lost} <= set(LOST_REASONS)


def test_blind_voters_see_no_image_and_answer_each_question_once_and_alone():
    ask, known = Recorder(), {}
    cast, _ = split(collect_blind(ROWS, "v", ask, known, answer_tokens=32))
    assert [request.images for request in ask.requests] == [(), (), ()]  # One, Two, Three
    assert all("2. " not in request.prompt for request in ask.requests)
    assert [(vote.qa_id, vote.answer, vote.tokens) for vote in cast] == [
        ("1", "1", 40),
        ("2", "1", 40),
        ("3", "1", 40),
        ("4", "1", 0),
    ]
    assert all(vote.blind for vote in cast)
    again, _ = split(collect_blind([row("5", "z", "Two?")], "v", ask, known, answer_tokens=32))
    assert len(ask.requests) == 3 and [(vote.qa_id, vote.answer, vote.tokens) for vote in again] == [
        ("5", "1", 0)
    ]


def test_a_lost_blind_vote_is_lost_for_every_item_with_the_question():
    _, lost = split(collect_blind(ROWS, "v", Recorder(fail=True), {}, answer_tokens=32))
    assert [vote.id for vote in lost] == ["1:v:blind", "2:v:blind", "3:v:blind", "4:v:blind"]


def test_the_same_words_with_other_choices_are_another_question():
    rows = [
        row("1", "x", "Which?", "choice", ["red", "blue"]),
        row("2", "y", "Which?", "choice", ["blue", "red"]),
    ]
    ask = Recorder()
    collect_blind(rows, "v", ask, {}, answer_tokens=32)
    first, second = (request.prompt for request in ask.requests)
    assert "1. Which?\n   A. red\n   B. blue" in first
    assert "1. Which?\n   A. blue\n   B. red" in second
