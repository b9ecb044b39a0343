"""Counts over all decisions, and the stage's report: agreement, voters, answer types, reasons, examples."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from components.core.answers import lettered
from components.core.data.image_store import ImageStore
from components.core.stage.report import Report, histogram
from components.voting_filter.ballot import AUTHOR, REASONS, Ballot, Decision, Independence, Outcome
from components.voting_filter.config import Config

Example = tuple[str, Ballot, Decision]
"""An item to show: its image's id, its votes and its fate."""


@dataclass
class Tally:
    """Counts for the report and the metrics, gathered item by item."""

    voters: list[str]
    most_examples: int
    lost: Counter[str]
    kept: int = 0
    agreements: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    by_type: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    cast: Counter[tuple[str, bool]] = field(default_factory=Counter)
    agreeing: Counter[tuple[str, bool]] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=lambda: {"Kept": [], "Rejected": []})

    def add(self, image_id: str, ballot: Ballot, decision: Decision) -> None:
        """Count one decided item."""
        self.agreements.append(decision.agreement)
        self.by_type[ballot.answer_type].update(["items", decision.reason or "kept"])
        if decision.reason:
            self.reasons[decision.reason] += 1
        else:
            self.kept += 1
        for blind, votes in ((False, ballot.votes), (True, ballot.blind)):
            for vote in votes:
                self.cast[vote.voter, blind] += 1
                self.agreeing[vote.voter, blind] += ballot.agrees(vote.answer)
        examples = self.examples["Rejected" if decision.reason else "Kept"]
        if len(examples) < self.most_examples:
            examples.append((image_id, ballot, decision))

    @property
    def rejected(self) -> int:
        """Number of rejected items."""
        return self.reasons.total()

    def metrics(self) -> dict[str, float]:
        """Flat numbers for the stage's metrics."""
        items = self.kept + self.rejected
        return {
            "items": items,
            "kept": self.kept,
            "rejected": self.rejected,
            "kept_share": self.kept / items,
            "mean_agreement": sum(self.agreements) / items,
            "votes": sum(n for (_, blind), n in self.cast.items() if not blind),
            "blind_votes": sum(n for (_, blind), n in self.cast.items() if blind),
            **{f"rejected_{reason}": self.reasons[reason] for reason in REASONS},
            **{f"votes_{reason}": count for reason, count in sorted(self.lost.items())},
        }

    def share(self, voter: str, blind: bool) -> float | str:
        """Share of a voter's votes that agree with the proposed answers; "" if it cast none."""
        cast = self.cast[voter, blind]
        return round(self.agreeing[voter, blind] / cast, 3) if cast else ""


def write_report(report: Report, tally: Tally, outcome: Outcome, images: ImageStore, config: Config) -> None:
    """Agreement, the voters' reliability, answer types, reasons, and examples with their images."""
    items = tally.kept + tally.rejected
    report.heading("Votes")
    report.text(
        f"{tally.kept} of {items} items kept ({tally.kept / items:.1%}): {outcome.rule}, and blind votes do "
        "not show that they are right without the image."
    )
    histogram(
        report,
        tally.agreements,
        "Agreement over all items; a dashed line is the threshold.",
        labels=("share of votes that agree with the proposed answer", "items"),
        threshold=outcome.agreement_threshold and outcome.agreement_threshold - 1 / 24,
        bins=[i / 12 - 1 / 24 for i in range(14)],
    )
    posteriors = [d.posterior for d in outcome.decisions if d.posterior is not None]
    if posteriors:
        _shares(report, posteriors, config.posterior_threshold, "P(the proposed answer is right)")
    report.table(
        {
            "voter": voter,
            "votes": tally.cast[voter, False],
            "agrees with the proposed answer": tally.share(voter, False),
            "blind votes": tally.cast[voter, True],
            "agrees blind": tally.share(voter, True),
        }
        for voter in tally.voters
    )
    if outcome.reliabilities:
        _write_reliability(report, outcome)
    if outcome.independence.forms:
        _write_blind(report, outcome.independence, config)
    report.heading("Answer types")
    given = [reason for reason in REASONS if tally.reasons[reason]]
    report.table(
        {"answer type": kind, "items": n["items"], "kept": n["kept"]}
        | {"kept share": round(n["kept"] / n["items"], 3), **{reason: n[reason] for reason in given}}
        for kind, n in sorted(tally.by_type.items())
    )
    for title, examples in tally.examples.items():
        if examples:
            report.heading(title)
            report.images([(images.get(i), _caption(b, d)) for i, b, d in examples if i in images])


def _shares(report: Report, values: list[float], threshold: float, name: str) -> None:
    histogram(
        report,
        values,
        f"{name} over all items; the dashed line is the threshold.",
        labels=(name, "items (log scale)"),
        threshold=threshold,
        bins=[i / 20 for i in range(21)],
        log=True,
    )


def _write_reliability(report: Report, outcome: Outcome) -> None:
    """Voters by answer types, the author of the proposed answers first."""
    report.heading("Reliability of the voters")
    estimated = "Estimated probability of a right answer, with the number of votes"
    report.text(f"{estimated}; {AUTHOR} gave the proposed answers.")
    kinds = sorted({one.answer_type for one in outcome.reliabilities})
    cells = {(o.voter, o.answer_type): f"{o.probability:.3f} ({o.votes})" for o in outcome.reliabilities}
    voters = sorted({voter for voter, _ in cells}, key=lambda voter: (voter != AUTHOR, voter))
    report.table([{"voter": v} | {kind: cells.get((v, kind), "") for kind in kinds} for v in voters])


def _write_blind(report: Report, blind: Independence, config: Config) -> None:
    """Shares of questions that nobody needs the image for."""
    report.heading("Questions that need no image")
    _shares(report, blind.items, config.independence_threshold, "P(known without the image)")
    report.table(
        {
            "answer type": form.answer_type,
            "options": form.options or "",
            "different questions": form.questions,
            "estimated share known without the image": round(form.known, 3),
        }
        for form in blind.forms
    )


def _caption(ballot: Ballot, decision: Decision) -> str:
    votes, blind = (", ".join(vote.answer for vote in given) for given in (ballot.votes, ballot.blind))
    likely = "" if decision.posterior is None else f"right with {decision.posterior:.2f}"
    lines = (
        ballot.question,
        ", ".join(lettered(ballot.choices)),
        f"proposed: {ballot.reference}",
        f"votes: {votes or 'none'}",
        f"blind: {blind}" if ballot.blind else "",
        ", ".join(filter(None, (f"agreement {decision.agreement:.2f}", likely, decision.reason))),
    )
    return "\n".join(filter(None, lines))
