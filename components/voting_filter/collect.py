"""Ask the voters. A voter sees questions and choices, never the proposed answer nor another voter's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from components.core.answers import extract
from components.core.mllm import Answer, ChatRequest
from components.core.mllm.prompts import render
from components.voting_filter.ballots import Ballot, Vote
from components.voting_filter.schemas import VoteAnswers

Ask = Callable[[list[ChatRequest]], list[Answer]]
"""Sends requests, returns their answers in the same order."""
Row = dict[str, Any]


@dataclass(frozen=True)
class CastVote:
    """One vote and its share of the request's tokens."""

    qa_id: str
    voter: str
    blind: bool
    answer: str
    tokens: int


@dataclass(frozen=True)
class LostVote:
    """A vote that was asked for and not given; `reason` is one of `LOST_REASONS`."""

    id: str
    reason: str
    detail: str


Question = tuple[str, str, tuple[str, ...]]
"""What a blind voter is shown: question, answer type, choices."""
Known = dict[Question, CastVote | LostVote]
"""A voter's blind votes so far."""

LOST_REASONS = (
    "request_failed",  # no valid reply to the whole request
    "answer_missing",  # the reply leaves this question out
)


def batches(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Consecutive rows of one image, at most `size` together: the questions of one request."""
    return [
        own[start : start + size]
        for _, group in groupby(rows, key=lambda row: row["image_id"])
        for own in [list(group)]
        for start in range(0, len(own), size)
    ]


def collect(
    rows: Sequence[Row],
    voter: str,
    ask: Ask,
    images: Mapping[str, bytes] | None,
    *,
    questions_per_request: int,
    answer_tokens: int,
) -> tuple[list[CastVote], list[LostVote]]:
    """One voter's answers to all `rows`, requests of one image together.

    Args:
        rows: items with qa_id, image_id, question, answer_type, choices.
        voter: the model's name.
        ask: sends requests.
        images: image bytes by id; None asks without images.
        questions_per_request: most questions of one image in a request.
        answer_tokens: room for one answer.
    """
    blind = images is None
    groups = batches(rows, questions_per_request)
    requests = []
    for group in groups:
        questions = [{"text": row["question"], "choices": row["choices"]} for row in group]
        prompt, _ = render(__file__, "vote.jinja", questions=questions, blind=blind)
        requests.append(
            ChatRequest(
                key=_vote_id(group[0], voter, blind),
                prompt=prompt,
                schema=VoteAnswers,
                images=() if images is None else (images[group[0]["image_id"]],),
                max_tokens=answer_tokens * (len(group) + 1),
            )
        )
    cast: list[CastVote] = []
    lost: list[LostVote] = []
    for group, answer in zip(groups, ask(requests), strict=True):
        given: dict[int, str] = {}
        if isinstance(answer.value, VoteAnswers):
            for item in answer.value.answers:
                given.setdefault(item.index, item.answer)
        tokens = round((answer.prompt_tokens + answer.completion_tokens) / len(group))
        for number, row in enumerate(group, start=1):
            if answer.error is not None:
                lost.append(LostVote(_vote_id(row, voter, blind), "request_failed", answer.error))
            elif number not in given:
                lost.append(LostVote(_vote_id(row, voter, blind), "answer_missing", row["question"]))
            else:
                text = extract(given[number], row["answer_type"], row["choices"]) or given[number].strip()
                cast.append(CastVote(row["qa_id"], voter, blind, text, tokens))
    return cast, lost


def collect_blind(
    rows: Sequence[Row], voter: str, ask: Ask, known: Known, *, answer_tokens: int
) -> tuple[list[CastVote], list[LostVote]]:
    """One voter's answers to all `rows` without images, one question a request.

    Without an image the same question has the same answer, so each different question is asked once, whatever images
    it is about, and `known` carries its vote on to later calls. Repeats cost nothing: their votes have no tokens.
    """
    fresh: dict[Question, Row] = {}
    for row in rows:
        if _question(row) not in known:
            fresh.setdefault(_question(row), {**row, "image_id": ""})
    asked = {row["qa_id"] for row in fresh.values()}
    cast, lost = collect(
        list(fresh.values()),
        voter,
        ask,
        None,
        # Alone: a question written from a picture that carries instructions must not stand beside another's.
        questions_per_request=1,
        answer_tokens=answer_tokens,
    )
    outcomes: dict[str, CastVote | LostVote] = {vote.qa_id: vote for vote in cast} | {
        vote.id: vote for vote in lost
    }
    for question, row in fresh.items():
        known[question] = outcomes.get(row["qa_id"]) or outcomes[_vote_id(row, voter, True)]
    all_cast: list[CastVote] = []
    all_lost: list[LostVote] = []
    for row in rows:
        vote = known[_question(row)]
        if isinstance(vote, LostVote):
            all_lost.append(replace(vote, id=_vote_id(row, voter, True)))
        elif row["qa_id"] in asked:
            all_cast.append(vote)
        else:
            all_cast.append(replace(vote, qa_id=row["qa_id"], tokens=0))
    return all_cast, all_lost


def cast_ballots(rows: Sequence[Row], cast: Sequence[CastVote]) -> list[Ballot]:
    """The ballot of each row, in order, with its votes in the order of `cast`."""
    seeing: dict[str, list[Vote]] = {row["qa_id"]: [] for row in rows}
    blind: dict[str, list[Vote]] = {row["qa_id"]: [] for row in rows}
    for vote in cast:
        (blind if vote.blind else seeing)[vote.qa_id].append(Vote(vote.voter, vote.answer))
    return [
        Ballot(
            row["question"],
            row["answer"],
            row["answer_type"],
            tuple(row["choices"]),
            tuple(seeing[row["qa_id"]]),
            tuple(blind[row["qa_id"]]),
        )
        for row in rows
    ]


def _vote_id(row: Row, voter: str, blind: bool) -> str:
    return f"{row['qa_id']}:{voter}{':blind' if blind else ''}"


def _question(row: Row) -> Question:
    return row["question"], row["answer_type"], tuple(row["choices"])
