"""Votes about one item, and what can be said about them whatever the method. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from components.core.answers import AnswerType, agree, normalise

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
        given = Counter(vote.answer for vote in votes)
        return sum(count for answer, count in given.items() if self.agrees(answer))


@dataclass(frozen=True)
class Decision:
    """What becomes of an item: kept if `reason` is empty, else rejected for one of `REASONS`."""

    agreement: float
    """Share of the votes that agree with the proposed answer, in [0, 1]; 0 without votes."""
    voted_answer: str
    """What the voters answered, normalised: a strict majority's answer, or the one that is more likely right than
    not; "" if there is none."""
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
    """What was learnt about each form of question."""


@dataclass(frozen=True)
class Outcome:
    """Decisions in the order of the ballots, and what was learnt about the voters."""

    decisions: list[Decision]
    reliabilities: tuple[Reliability, ...] = ()
    independence: Independence = field(default_factory=Independence)


def majority_answer(ballot: Ballot) -> str:
    """The normalised answer that more than half of the votes agree with, "" if there is none.

    Agreement is tolerant, so it need not be transitive: of several answers with a majority the one with most votes
    wins, then the first in alphabetical order. The order of the voters does not matter.
    """
    kind, choices, cast = ballot.answer_type, ballot.choices, len(ballot.votes)
    given = Counter(normalise(vote.answer, kind, choices) for vote in ballot.votes)
    forms = sorted(form for form in given if form)
    counts = {a: sum(given[b] for b in forms if agree(a, b, kind, choices)) for a in forms}
    best = max(counts, key=lambda form: counts[form], default="")
    return best if best and 2 * counts[best] > cast else ""
