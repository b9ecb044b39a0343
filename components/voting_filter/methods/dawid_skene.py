"""Dawid-Skene: votes weigh as much as their voters have proved reliable, for each type of answer.

Yes/no items share their labels and get the classical model, a confusion matrix for each voter; all others the
symmetric one. The proposed answer counts as the vote of one more voter, the author, so that an author who is often
wrong about numbers needs more support there. See `dawid_skene.py` and `symmetric.py` of the stage.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.voting_filter.ballots import AUTHOR, Ballot, Decision, Outcome, Reliability
from components.voting_filter.beliefs import Belief, Prior, by_confusion, by_reliability
from components.voting_filter.config import Config


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Keep an item if some vote agrees and the posterior of its proposed answer reaches the threshold.

    However reliable the author is, what no other voter confirms does not pass.
    """
    raters = [AUTHOR, *sorted({vote.voter for ballot in ballots for vote in ballot.votes})]
    prior = Prior(config.prior_reliability, config.prior_votes)
    beliefs = [Belief(0.0, "")] * len(ballots)
    reliabilities: list[Reliability] = []
    for binary, model in ((True, by_confusion), (False, by_reliability)):
        places = [i for i, b in enumerate(ballots) if b.votes and (b.answer_type == "yes_no") == binary]
        if places:
            found, rated = model([ballots[i] for i in places], raters, prior)
            reliabilities += rated
            for place, belief in zip(places, found, strict=True):
                beliefs[place] = belief
    decisions = [_decide(ballot, belief, config) for ballot, belief in zip(ballots, beliefs, strict=True)]
    return Outcome(decisions, tuple(sorted(reliabilities, key=lambda r: (r.answer_type, r.voter))))


def _decide(ballot: Ballot, belief: Belief, config: Config) -> Decision:
    right, cast = ballot.right(ballot.votes), len(ballot.votes)
    agreement = right / cast if cast else 0.0
    if cast < config.min_votes:
        reason = "too_few_votes"
    elif right and belief.posterior >= config.posterior_threshold:
        reason = ""
    elif not belief.answer:
        reason = "no_majority"
    else:
        reason = "low_agreement" if ballot.agrees(belief.answer) else "out_voted"
    return Decision(agreement, belief.answer, reason, belief.posterior)
