"""Is an item right without its image? Blind votes against what guessing would give.

A model that never saw the picture still gets yes/no questions right half of the time, and more often if it has learnt
that such questions are mostly answered "yes". So blind votes that match the proposed answer prove nothing by
themselves. An item counts as image-independent only if all of these hold:

1. At least `threshold` of its blind votes give the proposed answer.
2. At least `threshold` of the blind votes on *all* items with the same question do: where the answer to a question
   changes from image to image, a lucky guess for one of them is no evidence.
3. So many matches are improbable for guessers: P(Binomial(B, p) >= matches) <= `significance`, where p is the larger
   of two shares over other questions of the same form: how often blind votes give this answer (voters may favour it),
   and how often items have it (the items may). Both start from the form's chance level (1/2 for yes/no, 1/K for
   K choices, 0 for free answers) with the weight of `PRIOR_VOTES` votes; leaving this question out keeps an item from
   being its own evidence.

Free answers that voters never guess elsewhere are thus caught by two matching blind votes, four choices need three,
and yes/no items five or more voters.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from components.core.answers import normalise
from components.voting_filter.ballots import Ballot

PRIOR_VOTES = 10.0
_EPSILON = 1e-9
_Form = tuple[str, int]
_Question = tuple[str, str, tuple[str, ...]]


class _Counts:
    """How often blind votes, and items, have each answer: by form and by question."""

    def __init__(self, ballots: Sequence[Ballot]) -> None:
        self.votes: Counter[_Form | _Question] = Counter()
        self.items: Counter[_Form | _Question] = Counter()
        self.right: Counter[_Question] = Counter()
        self.voted: Counter[tuple[_Form | _Question, str]] = Counter()
        self.proposed: Counter[tuple[_Form | _Question, str]] = Counter()
        for ballot in ballots:
            self.right[_question(ballot)] += ballot.right(ballot.blind)
            blind = [normalise(vote.answer, ballot.answer_type, ballot.choices) for vote in ballot.blind]
            for group in (_form(ballot), _question(ballot)):
                self.items[group] += 1
                self.proposed[group, _answer(ballot)] += 1
                self.votes[group] += len(blind)
                self.voted.update((group, answer) for answer in blind)

    def chance(self, ballot: Ballot) -> float:
        """Probability that a blind vote on another question of this form would be right here."""
        form, question, answer, start = (
            _form(ballot),
            _question(ballot),
            _answer(ballot),
            chance_level(ballot),
        )

        def share(
            counted: Counter[tuple[_Form | _Question, str]], total: Counter[_Form | _Question]
        ) -> float:
            elsewhere = counted[form, answer] - counted[question, answer]
            return (elsewhere + PRIOR_VOTES * start) / (total[form] - total[question] + PRIOR_VOTES)

        return max(share(self.voted, self.votes), share(self.proposed, self.items))


def image_independent(ballots: Sequence[Ballot], threshold: float, significance: float) -> list[bool]:
    """For each ballot, whether its item is right without the image by the rule above; False without blind votes."""
    counts = _Counts(ballots)
    return [_independent(ballot, counts, threshold - _EPSILON, significance) for ballot in ballots]


def _independent(ballot: Ballot, counts: _Counts, threshold: float, significance: float) -> bool:
    votes, matches, question = len(ballot.blind), ballot.right(ballot.blind), _question(ballot)
    if (
        not votes
        or matches < threshold * votes
        or counts.right[question] < threshold * counts.votes[question]
    ):
        return False
    return binomial_tail(matches, votes, counts.chance(ballot)) <= significance


def _answer(ballot: Ballot) -> str:
    return normalise(ballot.answer, ballot.answer_type, ballot.choices)


def _form(ballot: Ballot) -> _Form:
    return ballot.answer_type, len(ballot.choices)


def _question(ballot: Ballot) -> _Question:
    return " ".join(ballot.question.casefold().split()), ballot.answer_type, ballot.choices


def chance_level(ballot: Ballot) -> float:
    """Probability that an even guess among the possible answers is right; 0 where answers are free."""
    if ballot.answer_type == "yes_no":
        return 0.5
    return 1 / len(ballot.choices) if ballot.answer_type == "choice" and ballot.choices else 0.0


def binomial_tail(successes: int, trials: int, p: float) -> float:
    """P(X >= successes) for X ~ Binomial(trials, p)."""
    return sum(math.comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes, trials + 1))
