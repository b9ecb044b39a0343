"""Majority: every vote counts the same, every item stands alone."""

from __future__ import annotations

from collections.abc import Sequence

from components.voting_filter.ballots import Ballot, Decision, Outcome, majority_answer
from components.voting_filter.config import Config

_EPSILON = 1e-9  # 2/3 as a setting is not 2/3 as a quotient


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Keep an item if the share of votes that agree with it reaches the threshold."""
    return Outcome([_decide(ballot, config) for ballot in ballots])


def _decide(ballot: Ballot, config: Config) -> Decision:
    right, cast = ballot.right(ballot.votes), len(ballot.votes)
    agreement = right / cast if cast else 0.0
    voted = majority_answer(ballot)
    if cast < config.min_votes:
        return Decision(agreement, voted, "too_few_votes")
    if agreement >= config.agreement_threshold - _EPSILON:
        return Decision(agreement, voted)
    if not voted:
        return Decision(agreement, voted, "no_majority")
    return Decision(agreement, voted, "low_agreement" if ballot.agrees(voted) else "out_voted")
