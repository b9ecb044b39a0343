"""Majority voting: every vote counts the same, every item stands alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from components.voting_filter.ballot import Ballot, Outcome
from components.voting_filter.config import Config

_EPSILON = 1e-9  # 2/3 as a setting is not 2/3 as a quotient


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Keep an item if the share of votes that agree with it reaches `agreement_threshold`."""
    threshold = config.agreement_threshold
    return Outcome(
        [
            ballot.decide(majority_answer(ballot), ballot.agreement >= threshold - _EPSILON, config.min_votes)
            for ballot in ballots
        ],
        rule=f"at least {threshold:.0%} of their votes agree with the proposed answer",
        agreement_threshold=threshold,
    )


def majority_answer(ballot: Ballot) -> str:
    """The normalised answer that more than half of the votes agree with, "" if there is none.

    Agreement is tolerant, so it need not be transitive. Of several answers with a majority the one with most
    votes wins, then the first in alphabetical order. The order of the voters does not matter.
    """
    given = Counter(ballot.normalised(vote.answer) for vote in ballot.votes)
    forms = sorted(form for form in given if form)
    counts = {a: sum(given[b] for b in forms if ballot.same(a, b)) for a in forms}
    best = max(counts, key=lambda form: counts[form], default="")
    return best if best and 2 * counts[best] > len(ballot.votes) else ""
