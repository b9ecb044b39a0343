"""Reads items, collects votes, decides, writes kept and rejected items and every vote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from components.core.data.dataset import Dataset, DatasetWriter
from components.core.data.image_store import ImageStore
from components.core.mllm import MLLMClient, Usage
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.voting_filter.ballots import Ballot, Decision
from components.voting_filter.collect import CastVote, Known, LostVote, cast_ballots, collect, collect_blind
from components.voting_filter.config import Config
from components.voting_filter.decide import decide
from components.voting_filter.report import Tally, write_report

Row = dict[str, Any]


def run(config: Config, ctx: StageContext) -> None:
    """Collect all votes, decide on all items, then write them; every item ends up kept or rejected."""
    qa = ctx.dataset("qa", table="qa")
    if not qa.rows:
        raise DataError("there are no items to vote on; see qa_synthesis and its rejected table")
    if len(config.voters) < 3:
        ctx.log.warning("fewer than three voters: one of them alone can decide on an item")
    images = ImageStore(ctx.dataset("images", table="images"))
    tally = Tally(voters=[voter.model for voter in config.voters])
    ballots = poll(qa, images, config, ctx, tally)
    outcome = decide(ballots, config)
    with (
        ctx.writer("qa_kept", table="qa_kept") as kept,
        ctx.writer("qa_rejected", table="qa_rejected") as rejected,
    ):
        for row, ballot, decision in zip(qa.rows_iter(), ballots, outcome.decisions, strict=True):
            if row["image_id"] not in images:
                decision = replace(decision, reason="image_missing")
            _write(row, decision, kept, rejected)
            tally.add(row, ballot, decision, config.report_items)
    if not tally.kept:
        raise DataError(
            f"no item of {qa.rows} was kept ({dict(tally.reasons)}); check the voters and the thresholds"
        )
    ctx.metrics.update(tally.metrics())
    ctx.log.info("voted", extra={"items": qa.rows, "kept": tally.kept, "rejected": tally.rejected})
    write_report(ctx.report, tally, outcome, images, config)


def poll(qa: Dataset, images: ImageStore, config: Config, ctx: StageContext, tally: Tally) -> list[Ballot]:
    """Ask every voter about every item, a chunk of items at a time; writes every vote.

    Returns:
        A ballot for each item, in the table's order; without votes where the image is missing.
    """
    clients = {
        v.model: MLLMClient(v, ctx.work.journal(f"voter-{i}"), ctx.log) for i, v in enumerate(config.voters)
    }
    known: dict[str, Known] = {model: {} for model in config.blind_models()}
    ballots: list[Ballot] = []
    with ctx.writer("votes", table="votes") as votes, ctx.writer("rejected", table="rejected") as rejected:
        total = -(-qa.rows // config.chunk_items)
        for rows in ctx.progress(_chunks(qa, config.chunk_items), total=total, desc="chunks of items"):
            cast, lost = _ask_all(
                [row for row in rows if row["image_id"] in images], images, config, clients, known
            )
            own = cast_ballots(rows, cast)
            ballots += own
            by_id = {row["qa_id"]: ballot for row, ballot in zip(rows, own, strict=True)}
            votes.write([_vote_row(vote, by_id[vote.qa_id]) for vote in cast])
            rejected.write([{"id": vote.id, "reason": vote.reason, "detail": vote.detail} for vote in lost])
            tally.lost.update(vote.reason for vote in lost)
    ctx.metrics.update(Usage.total(client.usage for client in clients.values()).metrics("voters"))
    return ballots


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
) -> tuple[list[CastVote], list[LostVote]]:
    """All voters at once, each by its own client; the result is in the order of the voters, seeing before blind."""
    pictures = {image_id: images.get(image_id) for image_id in dict.fromkeys(row["image_id"] for row in rows)}
    room = config.answer_tokens

    def vote(model: str) -> tuple[list[CastVote], list[LostVote]]:
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


def _vote_row(vote: CastVote, ballot: Ballot) -> Row:
    return {
        "qa_id": vote.qa_id,
        "voter": vote.voter,
        "blind": vote.blind,
        "answer": vote.answer,
        "agrees": ballot.agrees(vote.answer),
        "tokens": vote.tokens,
    }


def _write(row: Row, decision: Decision, kept: DatasetWriter, rejected: DatasetWriter) -> None:
    row = {**row, "agreement": decision.agreement, "difficulty": decision.difficulty}
    if decision.reason:
        rejected.write([{**row, "reason": decision.reason, "voted_answer": decision.voted_answer}])
    else:
        kept.write([row])
