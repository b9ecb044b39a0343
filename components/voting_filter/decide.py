"""From ballots to decisions: the configured method, then the blind votes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from components.core.answers import normalise
from components.voting_filter.ballots import Ballot, Outcome
from components.voting_filter.blind import independence
from components.voting_filter.config import Config
from components.voting_filter.methods import METHODS


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Decide on all items: those that the method confirms go as well if they are right without their image."""
    outcome = METHODS[config.method](ballots, config)
    settled = [
        d.voted_answer if d.reason else normalise(b.answer, b.answer_type, b.choices)
        for b, d in zip(ballots, outcome.decisions, strict=True)
    ]
    blind = independence(ballots, settled)
    decisions = [
        replace(decision, reason="image_independent")
        if probability >= config.independence_threshold and not decision.reason
        else decision
        for decision, probability in zip(outcome.decisions, blind.items, strict=True)
    ]
    return replace(outcome, decisions=decisions, independence=blind)
