"""Image independence: is an item right without its image? Blind votes, compared with mere guessing. Pure.

A model that never saw the picture still gets half of the yes/no questions right, so blind votes that match
prove little by themselves. The unit is the question: its items, the answers that their seeing votes settled
on, and its blind votes. Its answer a is the one that most items settled on. There are two hypotheses:

    known     Nobody needs the picture. A voter answers a blind as reliably as it answers seeing. Every item's
              answer is a but for an error with probability `SETTLED_ERROR`.
    guessed   The blind votes are guesses, and the answer changes with the picture. A guess is a with
              probability g, the share of a among the blind votes on other questions of the form. Voters
              share prejudices, so matches are beta-binomial with a concentration s. Answers of further items
              follow Polya's urn, because some questions nearly always have one answer.

The prior of P(known | votes) is pi, the share of known questions. For each form of question, pi is fitted by
EM from a weak prior, and s by the likelihood. This is empirical Bayes, the usual answer where each test alone
is weak (Efron, Large-Scale Inference, 2010, ch. 2). A yes/no question that occurs once needs most of five
blind voters; a number that is an unusual guess is caught by two.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln

from components.voting_filter.ballot import Ballot, FormBlind, Independence

PRIOR_KNOWN, PRIOR_QUESTIONS = 0.1, 2.0
"""Prior share of known questions, and its weight in questions of one type."""
PRIOR_RIGHT, PRIOR_RIGHT_VOTES = 0.8, 10.0
"""Prior of a voter's reliability for one type of answer, and its weight in votes."""
PRIOR_GUESSES = 10.0
"""Weight of the form's chance level in g, in blind votes."""
RARE_GUESS = 0.02
"""Chance level of one free answer; g never is less."""
SETTLED_ERROR = 0.05
"""How often seeing votes settle on a wrong answer."""
URN = 2.0
"""Weight of chance in Polya's urn, in items."""
CONCENTRATIONS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 1e6)
_MOST_RELIABLE = 0.98  # nobody is so reliable that one slip settles a question
_EPSILON = 1e-9

Floats = NDArray[np.float64]
_Form = tuple[str, int]


@dataclass(frozen=True)
class _Evidence:
    """Evidence for and against "known" of one question; votes and matches are means over its items."""

    ballots: list[Ballot]
    answer: str
    votes: float
    matches: float
    log_known: float
    """Log probability of the blind votes if the answer is known."""
    alike: int
    """Items that settled on `answer`."""

    @property
    def form(self) -> _Form:
        """Answer type and number of options."""
        return self.ballots[0].answer_type, len(self.ballots[0].choices)


def independence(ballots: Sequence[Ballot], settled: Sequence[str]) -> Independence:
    """Estimate for every item whether it needs its image.

    Args:
        ballots: all items with their votes and blind votes.
        settled: for each the answer that the seeing votes settled on, normalised; "" where they did not.
    """
    groups: dict[tuple[str, str, tuple[str, ...]], list[int]] = defaultdict(list)
    for place, ballot in enumerate(ballots):
        if ballot.blind and settled[place]:
            words = " ".join(ballot.question.casefold().split())
            groups[words, ballot.answer_type, ballot.choices].append(place)
    if not groups:
        return Independence([0.0] * len(ballots))
    right = _reliability(ballots, settled)
    evidence = [
        _evidence([ballots[i] for i in own], [settled[i] for i in own], right) for own in groups.values()
    ]
    posterior, fitted = _mixture(evidence, _guesses(evidence))
    items = [0.0] * len(ballots)
    for own, found, probability in zip(groups.values(), evidence, posterior, strict=True):
        for place in own:
            if ballots[place].agrees(found.answer):
                items[place] = float(probability)
    return Independence(items, tuple(fitted))


def _reliability(ballots: Sequence[Ballot], settled: Sequence[str]) -> dict[tuple[str, str], float]:
    """Share of seeing votes that agree with the settled answer, by voter and answer type, with the prior."""
    votes: Counter[tuple[str, str]] = Counter()
    right: Counter[tuple[str, str]] = Counter()
    for ballot, answer in zip(ballots, settled, strict=True):
        for vote in ballot.votes if answer else ():
            key = (vote.voter, ballot.answer_type)
            votes[key] += 1
            right[key] += ballot.same(vote.answer, answer)
    keys = {(v.voter, b.answer_type) for b in ballots for v in (*b.votes, *b.blind)}
    prior = PRIOR_RIGHT * PRIOR_RIGHT_VOTES
    return {key: (right[key] + prior) / (votes[key] + PRIOR_RIGHT_VOTES) for key in keys}


def _evidence(own: list[Ballot], settled: list[str], right: dict[tuple[str, str], float]) -> _Evidence:
    counts = Counter(settled)
    answer = min(counts, key=lambda form: (-counts[form], form))
    matches, log_known = 0, 0.0
    for ballot in own:
        for vote in ballot.blind:
            match = ballot.same(vote.answer, answer)
            rate = min(right[vote.voter, ballot.answer_type], _MOST_RELIABLE)
            matches += match
            log_known += math.log(rate if match else 1 - rate)
    return _Evidence(
        ballots=own,
        answer=answer,
        votes=sum(len(ballot.blind) for ballot in own) / len(own),
        matches=matches / len(own),
        log_known=log_known / len(own),
        alike=sum(count for form, count in counts.items() if own[0].same(form, answer)),
    )


def _guesses(evidence: Sequence[_Evidence]) -> Floats:
    """g of each question: the share of its answer among the blind votes on other questions of its form."""
    votes: dict[_Form, float] = defaultdict(float)
    answers: dict[tuple[_Form, str], float] = defaultdict(float)
    own: list[dict[str, float]] = []
    for found in evidence:
        given = Counter(b.normalised(v.answer) for b in found.ballots for v in b.blind)
        own.append({answer: count / len(found.ballots) for answer, count in given.items()})
        votes[found.form] += found.votes
        for answer, count in own[-1].items():
            answers[found.form, answer] += count
    shares = []
    for found, mean in zip(evidence, own, strict=True):
        elsewhere = answers[found.form, found.answer] - mean.get(found.answer, 0.0)
        total = votes[found.form] - found.votes + PRIOR_GUESSES
        shares.append((elsewhere + PRIOR_GUESSES * chance_level(found.ballots[0])) / total)
    return np.clip(shares, RARE_GUESS, 1 - RARE_GUESS)


def _mixture(evidence: Sequence[_Evidence], guess: Floats) -> tuple[Floats, list[FormBlind]]:
    """P(known) of each question, and the fitted share of each form."""
    rows = [[e.votes, e.matches, len(e.ballots) - 1, e.alike - 1, e.log_known] for e in evidence]
    votes, matches, again, alike, log_known = np.array(rows, dtype=np.float64).T
    if_known = log_known + alike * np.log(1 - SETTLED_ERROR) + (again - alike) * np.log(SETTLED_ERROR)
    repeats = _sequence(alike, again, URN * guess + 1, URN * (1 - guess))
    posterior = np.zeros(len(evidence))
    fitted = []
    forms = [found.form for found in evidence]
    for form in sorted(set(forms)):
        own = np.array([other == form for other in forms])
        fits = [
            _share(if_known[own], (repeats + _sequence(matches, votes, s * guess, s * (1 - guess)))[own])
            for s in CONCENTRATIONS
        ]
        _, share, posterior[own] = max(fits, key=lambda fit: fit[0])
        fitted.append(FormBlind(*form, questions=int(own.sum()), known=share))
    return posterior, fitted


def _share(if_known: Floats, if_guessed: Floats) -> tuple[float, float, Floats]:
    """EM for the share of known questions: log likelihood with prior, share, posteriors."""
    known, before = PRIOR_KNOWN, -np.inf
    while True:
        odds = np.log(known) - np.log(1 - known) + if_known - if_guessed
        posterior = np.asarray(expit(odds))
        likelihood = float(np.logaddexp(np.log(known) + if_known, np.log(1 - known) + if_guessed).sum())
        prior = PRIOR_KNOWN * np.log(known) + (1 - PRIOR_KNOWN) * np.log(1 - known)
        likelihood += PRIOR_QUESTIONS * float(prior)
        if likelihood - before < _EPSILON:
            return likelihood, known, posterior
        before = likelihood
        known = float(posterior.sum() + PRIOR_KNOWN * PRIOR_QUESTIONS) / (len(posterior) + PRIOR_QUESTIONS)


def _sequence(successes: Floats, trials: Floats, a: Floats, b: Floats) -> Floats:
    """Log probability of a given sequence of draws whose success rate is Beta(a, b)."""
    return np.asarray(
        gammaln(successes + a)
        + gammaln(trials - successes + b)
        - gammaln(trials + a + b)
        - (gammaln(a) + gammaln(b) - gammaln(a + b))
    )


def chance_level(ballot: Ballot) -> float:
    """Probability that an even guess among the options is right; `RARE_GUESS` where answers are free."""
    if ballot.answer_type == "yes_no":
        return 0.5
    return 1 / len(ballot.choices) if ballot.answer_type == "choice" and ballot.choices else RARE_GUESS
