"""What to believe about each item, by the two forms of the Dawid-Skene model. Pure: ballots in, arrays inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from components.voting_filter.ballots import AUTHOR, Ballot, Reliability
from components.voting_filter.candidates import NO_ANSWER, Candidates, candidates
from components.voting_filter.dawid_skene import fit
from components.voting_filter.symmetric import SymmetricVotes, fit_symmetric

_LABELS = ("no", "yes")
_ITERATIONS = 100
_SURE = 0.5


@dataclass(frozen=True)
class Belief:
    """About one item."""

    posterior: float
    """P(the proposed answer is right)."""
    answer: str
    """The answer that is more likely right than not, "" if none is."""


@dataclass(frozen=True)
class Prior:
    """Before any vote is seen: how often a voter is right, and the weight of that in votes."""

    reliability: float
    votes: float


Beliefs = tuple[list[Belief], list[Reliability]]


def by_confusion(ballots: Sequence[Ballot], raters: Sequence[str], prior: Prior) -> Beliefs:
    """Beliefs about yes/no items: a confusion matrix for each of `raters`, of whom `AUTHOR` proposes."""
    answers = [candidates(ballot) for ballot in ballots]
    number = {voter: i for i, voter in enumerate(raters)}
    votes = [
        (item, rater, _LABELS.index(found.answers[place]))
        for item, (ballot, found) in enumerate(zip(ballots, answers, strict=True))
        for rater, place in _all_votes(ballot, found, number)
        if place != NO_ANSWER
    ]
    if not votes:
        return [Belief(0.0, "")] * len(ballots), []
    items, voters, labels = np.array(votes, dtype=np.int64).T
    right = prior.votes * prior.reliability
    wrong = prior.votes - right
    model = fit(
        items,
        voters,
        labels,
        (len(ballots), len(raters), 2),
        max_iterations=_ITERATIONS,
        tolerance=-np.inf,
        pseudo_votes=np.array([[right, wrong], [wrong, right]]),
    )
    beliefs = []
    for found, row in zip(answers, model.posterior, strict=True):
        best = int(row.argmax())
        proposed = float(row[_LABELS.index(found.answers[0])]) if found.answers[0] else 0.0
        beliefs.append(Belief(proposed, _LABELS[best] if row[best] > _SURE else ""))
    cast = np.bincount(voters, minlength=len(raters))
    share = np.einsum("vkk,k->v", model.errors, model.priors / model.priors.sum())
    return beliefs, [
        Reliability(voter, "yes_no", int(cast[i]), float(share[i]))
        for i, voter in enumerate(raters)
        if cast[i]
    ]


def by_reliability(ballots: Sequence[Ballot], raters: Sequence[str], prior: Prior) -> Beliefs:
    """Beliefs about all other items: one reliability for each of `raters` and type of answer."""
    answers = [candidates(ballot) for ballot in ballots]
    types = sorted({ballot.answer_type for ballot in ballots})
    forms = sorted({(ballot.answer_type, _options(ballot)) for ballot in ballots})
    form_of = {form: i for i, form in enumerate(forms)}
    number = {(voter, kind): i for i, (kind, voter) in enumerate((k, v) for k in types for v in raters)}
    starts = [0, *accumulate(len(found.answers) for found in answers)]
    votes = [
        (item, rater, NO_ANSWER if place == NO_ANSWER else starts[item] + place)
        for item, (ballot, found) in enumerate(zip(ballots, answers, strict=True))
        for rater, place in _all_votes(
            ballot, found, {voter: number[voter, ballot.answer_type] for voter in raters}
        )
    ]
    items, rated, chosen = np.array(votes, dtype=np.int64).T
    model = fit_symmetric(
        SymmetricVotes(
            item_form=np.array([form_of[b.answer_type, _options(b)] for b in ballots], dtype=np.int64),
            candidate_item=np.repeat(np.arange(len(ballots)), np.diff(starts)),
            vote_candidate=chosen,
            vote_item=items,
            vote_rater=rated,
            form_options=np.array([options for _, options in forms], dtype=np.int64),
            n_raters=len(number),
        ),
        prior_reliability=prior.reliability,
        prior_votes=prior.votes,
    )
    beliefs = []
    for item, found in enumerate(answers):
        row = model.posterior[starts[item] : starts[item + 1]]
        best = int(row.argmax())
        proposed = float(row[0]) if found.answers[0] else 0.0
        beliefs.append(Belief(proposed, found.answers[best] if row[best] > _SURE else ""))
    cast = np.bincount(rated, minlength=len(number))
    return beliefs, [
        Reliability(voter, kind, int(cast[i]), float(model.reliability[i]))
        for (voter, kind), i in number.items()
        if cast[i]
    ]


def _all_votes(ballot: Ballot, found: Candidates, number: dict[str, int]) -> list[tuple[int, int]]:
    """(rater, candidate) of the author's answer and of every vote."""
    author = (number[AUTHOR], 0 if found.answers[0] else NO_ANSWER)
    return [
        author,
        *((number[vote.voter], place) for vote, place in zip(ballot.votes, found.votes, strict=True)),
    ]


def _options(ballot: Ballot) -> int:
    return len(ballot.choices) if ballot.answer_type == "choice" else 0
