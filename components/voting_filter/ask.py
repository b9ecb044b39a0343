"""Ask the voters. A voter sees questions and choices, never the proposed answer nor another voter's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from components.core.answers import extract
from components.core.data.dataset import Dataset
from components.core.data.image_store import ImageStore
from components.core.mllm import Answer, ChatRequest, MLLMClient, Usage
from components.core.mllm.prompts import render
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.voting_filter.ballot import Ballot, Vote
from components.voting_filter.config import MAX_ANSWERS, Config

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

    index: int = Field(ge=-9999, le=9999)
    answer: str = Field(max_length=1000)


class VoteAnswers(BaseModel):
    """Answers to all questions of one request."""

    answers: list[VoteAnswer] = Field(max_length=MAX_ANSWERS)


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


AskedVote = CastVote | LostVote
Shown = tuple[str, str, tuple[str, ...]]
"""Question, answer type and choices, as a blind voter is shown them."""
Known = dict[Shown, AskedVote]
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
            shown = [row for row in rows if row["image_id"] in images]
            asked = _ask_all(shown, images, config, clients, known)
            own = dict(zip((row["qa_id"] for row in rows), cast_ballots(rows, asked), strict=True))
            ballots += own.values()
            cast = [vote for vote in asked if isinstance(vote, CastVote)]
            lost = [vote for vote in asked if isinstance(vote, LostVote)]
            votes.write([vars(vote) | {"agrees": own[vote.qa_id].agrees(vote.answer)} for vote in cast])
            rejected.write([vars(vote) for vote in lost])
            reasons.update(vote.reason for vote in lost)
    ctx.metrics.update(Usage.total(client.usage for client in clients.values()).metrics("voters"))
    return ballots, reasons


def _chunks(qa: Dataset, size: int) -> Iterator[list[Row]]:
    seen: set[str] = set()
    for batch in qa.iter_batches(["qa_id", "image_id", "question", "answer", "answer_type", "choices"], size):
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
) -> list[AskedVote]:
    """All voters at once, each by its own client; in the order of the voters, seeing before blind votes."""
    pictures = {image_id: images.get(image_id) for image_id in dict.fromkeys(row["image_id"] for row in rows)}
    per_request, room = config.questions_per_request, config.answer_tokens

    def votes(model: str) -> list[AskedVote]:
        ask = partial(clients[model].map, bar=False)
        seeing = collect(rows, model, ask, pictures, questions_per_request=per_request, answer_tokens=room)
        if model not in known:
            return seeing
        return seeing + collect_blind(rows, model, ask, known[model], answer_tokens=room)

    with ThreadPoolExecutor(len(clients)) as pool:
        return list(chain.from_iterable(pool.map(votes, clients)))


def batches(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Consecutive rows of one image, at most `size` together: the questions of one request."""
    groups = (list(group) for _, group in groupby(rows, key=itemgetter("image_id")))
    return [group[start : start + size] for group in groups for start in range(0, len(group), size)]


def collect(
    rows: Sequence[Row],
    voter: str,
    ask: Ask,
    images: Mapping[str, bytes] | None,
    *,
    questions_per_request: int,
    answer_tokens: int,
) -> list[AskedVote]:
    """One voter's votes on all `rows`, in their order; questions about one image share requests.

    Rows hold qa_id, image_id, question, answer_type and choices; `images` has bytes by id, None asks without
    images. `answer_tokens` is the room for one answer.
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
    votes: list[AskedVote] = []
    for group, answer in zip(groups, ask(requests), strict=True):
        replies = reversed(answer.value.answers) if isinstance(answer.value, VoteAnswers) else ()
        given = {reply.index: reply.answer for reply in replies}  # of repeated ones the first
        tokens = round((answer.prompt_tokens + answer.completion_tokens) / len(group))
        for number, row in enumerate(group, start=1):
            if answer.error is not None:
                votes.append(LostVote(_vote_id(row, voter, blind), "request_failed", answer.error))
            elif number not in given:
                votes.append(LostVote(_vote_id(row, voter, blind), "answer_missing", row["question"]))
            else:
                reply = given[number]
                text = extract(reply, row["answer_type"], row["choices"], row["question"]) or reply.strip()
                votes.append(CastVote(voter, text, row["qa_id"], blind, tokens))
    return votes


def collect_blind(
    rows: Sequence[Row], voter: str, ask: Ask, known: Known, *, answer_tokens: int
) -> list[AskedVote]:
    """One voter's votes on all `rows` without images, one question a request.

    Without an image the same question has the same answer. So each different question is asked once, whatever
    images it is about, and `known` carries its vote on to later calls. Repeats have no tokens.
    """
    fresh: dict[Shown, Row] = {}
    for row in rows:
        if _shown(row) not in known:
            fresh.setdefault(_shown(row), {**row, "image_id": ""})
    # Alone: a question written from a picture that carries instructions must not stand beside another's.
    sizes = {"questions_per_request": 1, "answer_tokens": answer_tokens}
    known.update(zip(fresh, collect(list(fresh.values()), voter, ask, None, **sizes), strict=True))
    asked = {row["qa_id"] for row in fresh.values()}
    votes: list[AskedVote] = []
    for row in rows:
        vote = known[_shown(row)]
        if isinstance(vote, LostVote):
            vote = replace(vote, id=_vote_id(row, voter, blind=True))
        elif row["qa_id"] not in asked:
            vote = replace(vote, qa_id=row["qa_id"], tokens=0)
        votes.append(vote)
    return votes


def cast_ballots(rows: Sequence[Row], asked: Sequence[AskedVote]) -> list[Ballot]:
    """The ballot of each row, in order, with its votes in the order of `asked`."""
    votes: defaultdict[tuple[str, bool], list[Vote]] = defaultdict(list)
    for vote in asked:
        if isinstance(vote, CastVote):
            votes[vote.qa_id, vote.blind].append(Vote(vote.voter, vote.answer))
    return [
        Ballot(
            question=row["question"],
            answers=(row["answer"],),
            answer_type=row["answer_type"],
            choices=tuple(row["choices"]),
            votes=tuple(votes[row["qa_id"], False]),
            blind=tuple(votes[row["qa_id"], True]),
        )
        for row in rows
    ]


def _vote_id(row: Row, voter: str, blind: bool) -> str:
    return f"{row['qa_id']}:{voter}{':blind' if blind else ''}"


def _shown(row: Row) -> Shown:
    return row["question"], row["answer_type"], tuple(row["choices"])
