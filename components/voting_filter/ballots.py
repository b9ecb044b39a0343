"""Votes about one item, and what can be said about them whatever the method. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from components.core.answers import AnswerType, agree, normalise

REASONS = (
    "image_missing",  # the item's image is not in the images table
    "too_few_votes",
    "out_voted",  # a strict majority gave one other answer: the preference pairs' source of hallucinations
    "low_agreement",  # the majority agrees, but fewer than the threshold asks for
    "no_majority",  # the voters disagree with the item and with each other
    "image_independent",  # confirmed, but right without the image as well
)


@dataclass(frozen=True)
class Vote:
    """One model's answer to one question, as extracted from its reply."""

    voter: str
    answer: str


@dataclass(frozen=True)
class Ballot:
    """All votes about one item."""

    question: str
    answer: str
    """The proposed answer."""
    answer_type: AnswerType
    choices: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
    blind: tuple[Vote, ...] = field(default=())

    def agrees(self, answer: str) -> bool:
        """Whether an answer is the proposed one."""
        return agree(answer, self.answer, self.answer_type, self.choices)

    def right(self, votes: Sequence[Vote]) -> int:
        """How many of `votes` give the proposed answer."""
        return sum(self.agrees(vote.answer) for vote in votes)


@dataclass(frozen=True)
class Decision:
    """What becomes of an item: kept if `reason` is empty, else rejected for one of `REASONS`."""

    agreement: float
    """Share of the votes that agree with the proposed answer, in [0, 1]; 0 without votes."""
    voted_answer: str
    """What a strict majority answered, normalised; "" if no answer has one."""
    reason: str = ""

    @property
    def difficulty(self) -> float:
        """1 - agreement."""
        return 1.0 - self.agreement


def majority_answer(ballot: Ballot) -> str:
    """The normalised answer that more than half of the votes agree with, "" if there is none.

    Agreement is tolerant, so it need not be transitive: of several answers with a majority the one with most votes
    wins, then the first in alphabetical order. The order of the voters does not matter.
    """
    forms = sorted(normalise(vote.answer, ballot.answer_type, ballot.choices) for vote in ballot.votes)
    forms = [form for form in forms if form]
    counts = {a: sum(agree(a, b, ballot.answer_type, ballot.choices) for b in forms) for a in forms}
    best = max(counts, key=lambda form: counts[form], default="")
    return best if best and 2 * counts[best] > len(ballot.votes) else ""
