"""Ask the voters. A voter sees questions and choices, never the proposed answer nor another voter's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

from pydantic import BaseModel, ConfigDict

from components.core.answers import extract
from components.core.data.image_store import ImageStore
from components.core.data.manifest import Dataset
from components.core.mllm import Answer, ChatRequest, MLLMClient, Usage
from components.core.mllm.prompts import render
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.voting_filter.ballot import Ballot, Vote
from components.voting_filter.config import Config

Ask = Callable[[list[ChatRequest]], list[Answer]]
"""Sends requests, returns their answers in the same order."""
Row = dict[str, Any]
LOST_REASONS = (
    "request_failed",  # no valid reply to the whole request
    "answer_missing",  # the reply leaves this question out
)


# The docstrings, names and fields of the next two classes are part of the JSON schema sent with each request.
class VoteAnswer(BaseModel):
    """Answer to the question with the same number."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    index: int
    answer: str


class VoteAnswers(BaseModel):
    """Answers to all questions of one request."""

    answers: list[VoteAnswer]


@dataclass(frozen=True)
class CastVote(Vote):
    """One vote and its share of the request's tokens."""

    qa_id: str
    blind: bool
    tokens: int


@dataclass(frozen=True)
class LostVote:
    """A vote that was asked for and not given; `reason` is one of `LOST_REASONS`."""

    id: str
    reason: str
    detail: str


Votes = tuple[list[CastVote], list[LostVote]]
Shown = tuple[str, str, tuple[str, ...]]
"""What a blind voter is shown: question, answer type, choices."""
Known = dict[Shown, CastVote | LostVote]
"""A voter's blind votes so far."""


def poll(
    qa: Dataset, images: ImageStore, config: Config, ctx: StageContext
) -> tuple[list[Ballot], Counter[str]]:
    """Ask every voter about every item, a chunk of items at a time; writes every vote.

    Returns:
        A ballot for each item, in the table's order, without votes where the image is missing; and the number
        of lost votes by reason.
    """
    clients = {
        v.model: MLLMClient(v, ctx.work.journal(f"voter-{i}"), ctx.log) for i, v in enumerate(config.voters)
    }
    known: dict[str, Known] = {model: {} for model in config.blind_models()}
    ballots: list[Ballot] = []
    reasons: Counter[str] = Counter()
    with ctx.writer("votes", table="votes") as votes, ctx.writer("rejected", table="rejected") as rejected:
        total = -(-qa.rows // config.chunk_items)
        for rows in ctx.progress(_chunks(qa, config.chunk_items), total=total, desc="chunks of items"):
            asked = [row for row in rows if row["image_id"] in images]
            cast, lost = _ask_all(asked, images, config, clients, known)
            own = cast_ballots(rows, cast)
            ballots += own
            by_id = {row["qa_id"]: ballot for row, ballot in zip(rows, own, strict=True)}
            votes.write([_vote_row(vote, by_id[vote.qa_id]) for vote in cast])
            rejected.write([vars(vote) for vote in lost])
            reasons.update(vote.reason for vote in lost)
    ctx.metrics.update(Usage.total(client.usage for client in clients.values()).metrics("voters"))
    return ballots, reasons


def _chunks(qa: Dataset, size: int) -> Iterator[list[Row]]:
    columns = ["qa_id", "image_id", "question", "answer", "answer_type", "choices"]
    seen: set[str] = set()
    for batch in qa.iter_batches(columns, size):
        rows = batch.to_pylist()
        for row in rows:
            if row["qa_id"] in seen:
                raise DataError(f"item {row['qa_id']} occurs twice in qa; run qa_synthesis again")
            seen.add(row["qa_id"])
        yield rows


def _ask_all(
    rows: Sequence[Row],
    images: ImageStore,
    config: Config,
    clients: dict[str, MLLMClient],
    known: dict[str, Known],
) -> Votes:
    """All voters at once, each by its own client; in the order of the voters, seeing before blind votes."""
    pictures = {image_id: images.get(image_id) for image_id in dict.fromkeys(row["image_id"] for row in rows)}
    room = config.answer_tokens

    def vote(model: str) -> Votes:
        ask = partial(clients[model].map, bar=False)
        cast, lost = collect(
            rows, model, ask, pictures, questions_per_request=config.questions_per_request, answer_tokens=room
        )
        if model in known:
            blind_cast, blind_lost = collect_blind(rows, model, ask, known[model], answer_tokens=room)
            cast, lost = cast + blind_cast, lost + blind_lost
        return cast, lost

    with ThreadPoolExecutor(len(clients)) as pool:
        results = list(pool.map(vote, clients))
    return [vote for cast, _ in results for vote in cast], [vote for _, lost in results for vote in lost]


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
) -> Votes:
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
                cast.append(CastVote(voter, text, row["qa_id"], blind, tokens))
    return cast, lost


def collect_blind(rows: Sequence[Row], voter: str, ask: Ask, known: Known, *, answer_tokens: int) -> Votes:
    """One voter's answers to all `rows` without images, one question a request.

    Without an image the same question has the same answer. So each different question is asked once, whatever
    images it is about, and `known` carries its vote on to later calls. Repeats cost nothing: their votes have
    no tokens.
    """
    fresh: dict[Shown, Row] = {}
    for row in rows:
        if _shown(row) not in known:
            fresh.setdefault(_shown(row), {**row, "image_id": ""})
    # Alone: a question written from a picture that carries instructions must not stand beside another's.
    cast, lost = collect(
        list(fresh.values()), voter, ask, None, questions_per_request=1, answer_tokens=answer_tokens
    )
    outcomes = {vote.qa_id: vote for vote in cast}
    failures = {vote.id: vote for vote in lost}
    for shown, row in fresh.items():
        known[shown] = outcomes.get(row["qa_id"]) or failures[_vote_id(row, voter, blind=True)]
    all_cast: list[CastVote] = []
    all_lost: list[LostVote] = []
    for row in rows:
        vote = known[_shown(row)]
        if isinstance(vote, LostVote):
            all_lost.append(replace(vote, id=_vote_id(row, voter, blind=True)))
        else:
            repeated = row["qa_id"] not in outcomes
            all_cast.append(replace(vote, qa_id=row["qa_id"], tokens=0) if repeated else vote)
    return all_cast, all_lost


def cast_ballots(rows: Sequence[Row], cast: Sequence[CastVote]) -> list[Ballot]:
    """The ballot of each row, in order, with its votes in the order of `cast`."""
    votes: dict[tuple[str, bool], list[Vote]] = {}
    for vote in cast:
        votes.setdefault((vote.qa_id, vote.blind), []).append(Vote(vote.voter, vote.answer))
    return [
        Ballot(
            question=row["question"],
            answers=(row["answer"],),
            answer_type=row["answer_type"],
            choices=tuple(row["choices"]),
            votes=tuple(votes.get((row["qa_id"], False), ())),
            blind=tuple(votes.get((row["qa_id"], True), ())),
        )
        for row in rows
    ]


def _vote_id(row: Row, voter: str, blind: bool) -> str:
    return f"{row['qa_id']}:{voter}{':blind' if blind else ''}"


def _shown(row: Row) -> Shown:
    return row["question"], row["answer_type"], tuple(row["choices"])


def _vote_row(vote: CastVote, ballot: Ballot) -> Row:
    """A row of the `votes` table."""
    return {**vars(vote), "agrees": ballot.agrees(vote.answer)}
