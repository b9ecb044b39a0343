"""Dawid-Skene voting: votes weigh as much as their voters have proved reliable, for each type of answer.

Yes/no items share their labels and get the classical model, a confusion matrix a voter (`confusion.py`). The
possible answers of all others differ by item; they get the one-coin model (`one_coin.py`). The author of the
proposed answers counts as one more voter: where it is often wrong, its answers need more support.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from components.voting_filter.ballot import AUTHOR, Ballot, Outcome, Reliability
from components.voting_filter.config import Config
from components.voting_filter.methods.dawid_skene.confusion import fit_confusion
from components.voting_filter.methods.dawid_skene.one_coin import OneCoinVotes, fit_one_coin

NO_ANSWER = -1
_LABELS = ("no", "yes")


@dataclass(frozen=True)
class Belief:
    """About one item: P(its proposed answer is right), and the answer more likely right than not or ""."""

    posterior: float = 0.0
    answer: str = ""


Beliefs = tuple[list[Belief], list[Reliability]]


def decide(ballots: Sequence[Ballot], config: Config) -> Outcome:
    """Keep an item if some vote agrees and its answer's posterior reaches `posterior_threshold`.

    However reliable the author is, an item that no other voter confirms does not pass.
    """
    raters = [AUTHOR, *sorted({vote.voter for ballot in ballots for vote in ballot.votes})]
    beliefs = [Belief()] * len(ballots)
    reliabilities: list[Reliability] = []
    for binary, believe in ((True, _by_confusion), (False, _by_one_coin)):
        places = [i for i, b in enumerate(ballots) if b.votes and (b.answer_type == "yes_no") == binary]
        if places:
            found, rated = believe([ballots[i] for i in places], raters, config)
            reliabilities += rated
            for place, belief in zip(places, found, strict=True):
                beliefs[place] = belief
    decisions = []
    for ballot, belief in zip(ballots, beliefs, strict=True):
        confirmed = ballot.agreement > 0 and belief.posterior >= config.posterior_threshold
        decisions.append(ballot.decide(belief.answer, confirmed, config.min_votes, belief.posterior))
    least = f"{config.posterior_threshold:.0%}"
    return Outcome(
        decisions,
        f"their answer is right with a probability of at least {least}, given the votes",
        reliabilities=tuple(sorted(reliabilities, key=lambda r: (r.answer_type, r.voter))),
    )


@dataclass(frozen=True)
class Candidates:
    """The distinct answers to one item; the proposed answer comes first, whether it is one or not."""

    answers: tuple[str, ...]
    """Normalised; the first is "" where the proposed answer is no answer of its type."""
    votes: tuple[int, ...]
    """For each of the ballot's votes the place in `answers`; `NO_ANSWER` if it is none of its type."""


def candidates(ballot: Ballot) -> Candidates:
    """Group the answers of a ballot's votes.

    Agreement is tolerant and need not be transitive. An answer joins the proposed one if it agrees with that.
    Else it joins the most frequent other that it agrees with; of two as frequent, the first in alphabetical
    order. So the order of the votes does not matter.
    """
    agrees = {answer: ballot.agrees(answer) for answer in {vote.answer for vote in ballot.votes}}
    forms = {answer: ballot.normalised(answer) for answer, proposed in agrees.items() if not proposed}
    counts = Counter(forms[vote.answer] for vote in ballot.votes if vote.answer in forms)
    answers = [ballot.normalised(ballot.reference)]
    place: dict[str, int] = {"": NO_ANSWER}
    for form, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if form not in place:
            alike = (i for i, known in enumerate(answers) if i and ballot.same(form, known))
            place[form] = next(alike, len(answers))
            if place[form] == len(answers):
                answers.append(form)
    votes = (0 if agrees[vote.answer] else place[forms[vote.answer]] for vote in ballot.votes)
    return Candidates(tuple(answers), tuple(votes))


def _by_confusion(ballots: Sequence[Ballot], raters: Sequence[str], config: Config) -> Beliefs:
    """Beliefs about yes/no items: a confusion matrix for each rater."""
    answers = [candidates(ballot) for ballot in ballots]
    votes = [
        (item, rater, _LABELS.index(answers[item].answers[place]))
        for item, rater, place in _votes(ballots, answers, raters)
        if place != NO_ANSWER
    ]
    if not votes:
        return [Belief()] * len(ballots), []
    items, voters, labels = np.array(votes, dtype=np.int64).T
    right = config.prior_votes * config.prior_reliability
    wrong = config.prior_votes - right
    model = fit_confusion(
        items,
        voters,
        labels,
        (len(ballots), len(raters), 2),
        tolerance=-np.inf,
        pseudo_votes=np.array([[right, wrong], [wrong, right]]),
    )
    beliefs = [
        _belief(_LABELS, row, own.answers[0]) for own, row in zip(answers, model.posterior, strict=True)
    ]
    cast = np.bincount(voters, minlength=len(raters))
    share = np.einsum("vkk,k->v", model.errors, model.priors / model.priors.sum())
    return beliefs, _reliabilities([(voter, "yes_no") for voter in raters], cast, share)


def _by_one_coin(ballots: Sequence[Ballot], raters: Sequence[str], config: Config) -> Beliefs:
    """Beliefs about all other items: one reliability for each rater and type of answer."""
    answers = [candidates(ballot) for ballot in ballots]
    types = sorted({ballot.answer_type for ballot in ballots})
    forms = sorted({_form(ballot) for ballot in ballots})
    starts = [0, *accumulate(len(own.answers) for own in answers)]
    items, voters, places = np.array(_votes(ballots, answers, raters), dtype=np.int64).T
    type_of = np.array([types.index(ballot.answer_type) for ballot in ballots], dtype=np.int64)
    rated = type_of[items] * len(raters) + voters
    chosen = np.where(places == NO_ANSWER, NO_ANSWER, np.array(starts)[items] + places)
    rater_types = [(voter, kind) for kind in types for voter in raters]
    model = fit_one_coin(
        OneCoinVotes(
            item_form=np.array([forms.index(_form(ballot)) for ballot in ballots], dtype=np.int64),
            candidate_item=np.repeat(np.arange(len(ballots)), np.diff(starts)),
            vote_candidate=chosen,
            vote_item=items,
            vote_rater=rated,
            form_options=np.array([options for _, options in forms], dtype=np.int64),
            n_raters=len(rater_types),
        ),
        prior_reliability=config.prior_reliability,
        prior_votes=config.prior_votes,
    )
    shares = np.split(model.posterior, starts[1:-1])
    beliefs = [_belief(own.answers, row, own.answers[0]) for own, row in zip(answers, shares, strict=True)]
    cast = np.bincount(rated, minlength=len(rater_types))
    return beliefs, _reliabilities(rater_types, cast, model.reliability)


def _votes(
    ballots: Sequence[Ballot], answers: Sequence[Candidates], raters: Sequence[str]
) -> list[tuple[int, int, int]]:
    """(item, rater, candidate) of every item's author, who is rater 0, and of every vote."""
    votes = []
    for item, (ballot, own) in enumerate(zip(ballots, answers, strict=True)):
        voters = (AUTHOR, *(vote.voter for vote in ballot.votes))
        places = (0 if own.answers[0] else NO_ANSWER, *own.votes)
        votes += [(item, raters.index(name), place) for name, place in zip(voters, places, strict=True)]
    return votes


def _form(ballot: Ballot) -> tuple[str, int]:
    """Answer type and number of options; 0 options where answers are free."""
    return ballot.answer_type, len(ballot.choices) if ballot.answer_type == "choice" else 0


def _belief(answers: Sequence[str], shares: NDArray[np.float64], proposed: str) -> Belief:
    best = int(shares.argmax())
    posterior = float(shares[answers.index(proposed)]) if proposed else 0.0
    return Belief(posterior, answers[best] if shares[best] > 0.5 else "")


def _reliabilities(
    rated: Sequence[tuple[str, str]], cast: NDArray[np.int64], share: NDArray[np.float64]
) -> list[Reliability]:
    """Of those raters who voted."""
    return [
        Reliability(voter, kind, int(votes), float(right))
        for (voter, kind), votes, right in zip(rated, cast, share, strict=True)
        if votes
    ]
