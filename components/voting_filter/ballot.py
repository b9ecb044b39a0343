"""A ballot: one item's question with all votes on it, and the decision that becomes of it. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

from components.core.answers import Question

REASONS = (
    "image_missing",  # the item's image is not in the images table
    "too_few_votes",
    "out_voted",  # the voters settle on one other answer: the preference pairs' source of hallucinations
    "low_agreement",  # they settle on the proposed answer, but less surely than the threshold asks for
    "no_majority",  # they settle on none
    "image_independent",  # confirmed, but right without the image as well
)


@dataclass(frozen=True)
class Vote:
    """One model's answer to one question, as extracted from its reply."""

    voter: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Ballot(Question):
    """An item's question with its proposed answer as the reference, and all votes on it."""

    votes: tuple[Vote, ...] = ()
    blind: tuple[Vote, ...] = ()
    """Votes of models that did not see the image."""

    @cached_property
    def agreement(self) -> float:
        """Share of the votes that agree with the proposed answer, in [0, 1]; 0 without votes."""
        given = Counter(vote.answer for vote in self.votes)
        right = sum(count for answer, count in given.items() if self.agrees(answer))
        return right / len(self.votes) if self.votes else 0.0

    def decide(self, voted: str, confirmed: bool, min_votes: int, posterior: float | None = None) -> Decision:
        """The decision on this item, with its reason.

        Args:
            voted: the normalised answer that the voters settled on, "" if there is none.
            confirmed: whether the method takes the proposed answer for right.
            min_votes: fewer votes decide nothing.
            posterior: P(the proposed answer is right), where the method estimates it.
        """
        reason = ""
        if len(self.votes) < min_votes:
            reason = "too_few_votes"
        elif not confirmed:
            settled = "low_agreement" if self.agrees(voted) else "out_voted"
            reason = settled if voted else "no_majority"
        return Decision(self.agreement, voted, reason, posterior)


@dataclass(frozen=True)
class Decision:
    """The fate of an item: kept if `reason` is empty, else rejected for one of `REASONS`."""

    agreement: float
    """Share of the votes that agree with the proposed answer, in [0, 1]; 0 without votes."""
    voted_answer: str
    """The voters' answer, normalised: a strict majority's, or the one more likely right than not; "" if there
    is none."""
    reason: str = ""
    posterior: float | None = None
    """P(the proposed answer is right), where the method estimates it."""

    @property
    def difficulty(self) -> float:
        """1 - agreement."""
        return 1.0 - self.agreement


AUTHOR = "(author)"
"""The name of the proposed answers' author among the voters."""


@dataclass(frozen=True)
class Reliability:
    """How often a voter is estimated to be right about one type of answer."""

    voter: str
    answer_type: str
    votes: int
    probability: float


@dataclass(frozen=True)
class FormBlind:
    """Blind votes on the questions of one form."""

    answer_type: str
    options: int
    """Number of options of a choice, else 0."""
    questions: int
    known: float
    """Estimated share of questions that nobody needs the image for."""


@dataclass(frozen=True)
class Independence:
    """What blind votes say."""

    items: list[float] = field(default_factory=list)
    """For each ballot P(its answer is known without the image); 0 without blind votes."""
    forms: tuple[FormBlind, ...] = ()
    """One entry for each form of question."""


@dataclass(frozen=True)
class Outcome:
    """Decisions in the order of the ballots, and estimates about voters and questions."""

    decisions: list[Decision]
    rule: str = "the method takes their answer for right"
    """What kept items have in common, for the report."""
    agreement_threshold: float | None = None
    """Least agreement of a kept item, where the method has one."""
    reliabilities: tuple[Reliability, ...] = ()
    independence: Independence = field(default_factory=Independence)
