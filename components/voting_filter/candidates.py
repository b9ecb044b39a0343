"""Which different answers the votes on an item give. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from components.core.answers import agree, normalise
from components.voting_filter.ballots import Ballot

NO_ANSWER = -1


@dataclass(frozen=True)
class Candidates:
    """The distinct answers to one item; the proposed answer comes first, whether it is one or not."""

    answers: tuple[str, ...]
    """Normalised; the first is "" where the proposed answer is no answer of its type."""
    votes: tuple[int, ...]
    """For each of the ballot's votes the place in `answers`, or `NO_ANSWER` for what is no answer of its type."""


def candidates(ballot: Ballot) -> Candidates:
    """Group the answers of a ballot's votes.

    Agreement is tolerant and need not be transitive: an answer joins the proposed one if it agrees with that, else
    the most frequent of the others that it agrees with, of two as frequent the first in alphabetical order. So the
    order of the votes does not matter.
    """
    kind, choices = ballot.answer_type, ballot.choices
    agrees = {answer: ballot.agrees(answer) for answer in {vote.answer for vote in ballot.votes}}
    forms = {answer: normalise(answer, kind, choices) for answer, proposed in agrees.items() if not proposed}
    counts = Counter(forms[vote.answer] for vote in ballot.votes if vote.answer in forms)
    answers = [normalise(ballot.answer, kind, choices)]
    place: dict[str, int] = {"": NO_ANSWER}
    for form, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if form in place:
            continue
        same = next((i for i, known in enumerate(answers) if i and agree(form, known, kind, choices)), 0)
        if not same:
            answers.append(form)
            same = len(answers) - 1
        place[form] = same
    return Candidates(
        tuple(answers), tuple(0 if agrees[v.answer] else place[forms[v.answer]] for v in ballot.votes)
    )
