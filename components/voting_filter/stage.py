"""Collect votes on every item, decide, write kept and rejected items and every vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components.core.data.image_store import ImageStore
from components.core.stage.context import StageContext
from components.core.stage.errors import DataError
from components.voting_filter.ask import poll
from components.voting_filter.ballot import Ballot, Outcome
from components.voting_filter.blind import independence
from components.voting_filter.config import Config
from components.voting_filter.methods import load_method
from components.voting_filter.report import Tally, write_report


def run(config: Config, ctx: StageContext) -> None:
    """Collect all votes, decide on all items, then write them; every item ends up kept or rejected."""
    qa = ctx.dataset("qa", table="qa")
    if not qa.rows:
        raise DataError("there are no items to vote on; see qa_synthesis and its rejected table")
    if len(config.voters) < 3:
        ctx.log.warning("fewer than three voters: one of them alone can decide on an item")
    images = ImageStore(ctx.dataset("images", table="images"))
    ballots, lost = poll(qa, images, config, ctx)
    tally = Tally([voter.model for voter in config.voters], config.report_items, lost)
    outcome = decide(ballots, config)
    with (
        ctx.writer("qa_kept", table="qa_kept") as kept,
        ctx.writer("qa_rejected", table="qa_rejected") as rejected,
    ):
        for row, ballot, decision in zip(qa.rows_iter(), ballots, outcome.decisions, strict=True):
            if row["image_id"] not in images:
                decision = replace(decision, reason="image_missing")
            decided = row | {"agreement": decision.agreement, "difficulty": decision.difficulty}
            if decision.reason:
                why = {"reason": decision.reason, "voted_answer": decision.voted_answer}
                rejected.write([decided | why])
            else:
                kept.write([decided])
            tally.add(row["image_id"], ballot, decision)
    if not tally.kept:
        raise DataError(
            f"no item of {qa.rows} was kept ({dict(tally.reasons)}); check the voters and the thresholds"
        )
    ctx.metrics.update(tally.metrics())
    ctx.log.info("voted", extra={"items": qa.rows, "kept": tally.kept, "rejected": tally.rejected})
    write_report(ctx.report, tally, outcome, images, config)


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Decide by the configured method; confirmed items go as well if they are right without their image."""
    outcome: Outcome = load_method(config.method)(ballots, config)
    settled = [
        decision.voted_answer if decision.reason else ballot.normalised(ballot.reference)
        for ballot, decision in zip(ballots, outcome.decisions, strict=True)
    ]
    blind = independence(ballots, settled)
    decisions = [
        replace(decision, reason="image_independent")
        if probability >= config.independence_threshold and not decision.reason
        else decision
        for decision, probability in zip(outcome.decisions, blind.items, strict=True)
    ]
    return replace(outcome, decisions=decisions, independence=blind)
