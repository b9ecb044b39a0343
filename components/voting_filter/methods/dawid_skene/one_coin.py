"""One-coin Dawid-Skene, for open answer sets: one reliability a voter in place of a confusion matrix. Pure.

A confusion matrix needs labels that all items share. Numbers, spans and options differ by item, so this model
keeps the EM of Dawid and Skene (1979) and ties the matrix to three parameters. It is the model of Zhang et
al. (2014, arXiv 1406.3824, section 2), extended to answer sets that differ by item:

- The truth of item i is one of K answers, each as likely. Those that somebody gave are its candidates.
- Voter v answers right with probability r_v, the reliability of the voter for that type of answer.
- A wrong answer is any of the K - 1 others alike, so two coincide with probability q = 1 / (K - 1).

    E-step   log P(z_i = c) = const + sum over votes (v, c) of log(r_v / ((1 - r_v) q)).
    M-step   r_v = (expected right votes + a) / (votes + a + b), with a Beta(a, b) prior.
             q   = (expected coinciding pairs + pseudo) / (expected pairs + pseudo), of wrong votes.

q is estimated for each form of question: where wrong answers tend to coincide, equal votes prove less. For K
options q starts from 1 / (K - 1) and never falls below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FREE_COINCIDENCE = 0.1
"""Where q starts for free answers: as if ten wrong answers were as plausible."""
PSEUDO_PAIRS = 10.0
"""Weight of that start, in pairs of wrong votes."""
_SMALLEST = 1e-4


@dataclass(frozen=True)
class OneCoinVotes:
    """Votes on I items with C candidates in all, by R raters (a voter for one type of answer), in F forms."""

    item_form: Ints
    """(I,) form of each item."""
    candidate_item: Ints
    """(C,) item of each candidate, ascending."""
    vote_candidate: Ints
    """(N,) candidate of each vote; -1 for a vote that is no answer."""
    vote_item: Ints
    """(N,) item of each vote."""
    vote_rater: Ints
    """(N,) rater of each vote."""
    form_options: Ints
    """(F,) number of options; 0 for free answers."""
    n_raters: int


@dataclass(frozen=True)
class OneCoinModel:
    """The fitted model."""

    posterior: Floats
    """(C,) P(candidate is the truth); an item's candidates sum to 1 less the share of "something else"."""
    reliability: Floats
    """(R,) P(rater answers right)."""
    coincidence: Floats
    """(F,) q: P(two wrong answers are the same)."""


def fit_one_coin(
    votes: OneCoinVotes,
    *,
    prior_reliability: float,
    prior_votes: float,
    max_iterations: int = 200,
    tolerance: float = 1e-6,
) -> OneCoinModel:
    """Fit by EM, from the shares of the votes, until no posterior moves by more than `tolerance`.

    The Beta prior of every r_v has the mean `prior_reliability` and the weight of `prior_votes` votes.
    """
    n_items, n_candidates = len(votes.item_form), len(votes.candidate_item)
    valid = votes.vote_candidate >= 0
    chosen = votes.vote_candidate[valid]
    rater, form = votes.vote_rater[valid], votes.item_form[votes.vote_item[valid]]
    support = np.bincount(chosen, minlength=n_candidates).astype(np.float64)
    cast = np.bincount(votes.vote_rater, minlength=votes.n_raters)
    ballots = _sums(votes.candidate_item, support, n_items)
    candidates = _sums(votes.candidate_item, np.ones(n_candidates), n_items)
    pairs = _Pairs(votes, support, ballots)
    posterior = support / np.maximum(ballots, 1)[votes.candidate_item]
    while True:
        right = _sums(rater, posterior[chosen], votes.n_raters)
        reliability = (right + prior_reliability * prior_votes) / (cast + prior_votes)
        reliability = np.clip(reliability, _SMALLEST, 1 - _SMALLEST)
        coincidence = pairs.coincidence(posterior)
        if max_iterations <= 0:
            break
        weight = np.log(reliability[rater]) - np.log((1 - reliability[rater]) * coincidence[form])
        score = _sums(chosen, weight, n_candidates)
        unseen = _unseen(votes, coincidence, candidates)
        updated = _softmax(score, unseen, votes.candidate_item, n_items)
        moved = float(np.max(np.abs(updated - posterior), initial=0.0))
        posterior = updated
        max_iterations = max_iterations - 1 if moved > tolerance else 0
    return OneCoinModel(posterior, reliability, coincidence)


class _Pairs:
    """Pairs of wrong votes, and those of them that coincide, as expectations over the posterior."""

    def __init__(self, votes: OneCoinVotes, support: Floats, ballots: Floats) -> None:
        self.item, self.form, self.options = votes.candidate_item, votes.item_form, votes.form_options
        same = _choose_two(support)
        same_all = _sums(self.item, same, len(ballots))
        self.all, self.same_all = _choose_two(ballots), same_all
        self.wrong = _choose_two(ballots[self.item] - support) - self.all[self.item]
        self.same = -same
        self.start = np.where(self.options > 1, 1 / np.maximum(self.options - 1, 1), FREE_COINCIDENCE)
        self.least = np.where(self.options > 1, self.start, _SMALLEST)

    def coincidence(self, posterior: Floats) -> Floats:
        """q of each form."""
        n_items, n_forms = len(self.form), len(self.options)
        wrong = self.all + _sums(self.item, posterior * self.wrong, n_items)
        same = self.same_all + _sums(self.item, posterior * self.same, n_items)
        wrong, same = _sums(self.form, wrong, n_forms), _sums(self.form, same, n_forms)
        estimate = (same + PSEUDO_PAIRS * self.start) / (wrong + PSEUDO_PAIRS)
        return np.asarray(np.clip(estimate, self.least, 1.0))


def _sums(place: Ints, values: Floats, size: int) -> Floats:
    """Sums of `values` by place."""
    return np.asarray(np.bincount(place, values, minlength=size), dtype=np.float64)


def _choose_two(n: Floats) -> Floats:
    return n * (n - 1) / 2


def _unseen(votes: OneCoinVotes, coincidence: Floats, candidates: Floats) -> Floats:
    """(I,) how many answers nobody gave: the other options, and at least one of free answers."""
    answers = np.where(votes.form_options > 0, votes.form_options, 1 + 1 / coincidence)[votes.item_form]
    least = np.where(votes.form_options > 0, 0.0, 1.0)[votes.item_form]
    return np.asarray(np.maximum(answers - candidates, least))


def _softmax(score: Floats, unseen: Floats, item: Ints, n_items: int) -> Floats:
    """Posterior of each candidate among its item's candidates and the `unseen` answers, whose score is 0."""
    top = np.zeros(n_items)
    np.maximum.at(top, item, score)
    likelihood = np.exp(score - top[item])
    total = _sums(item, likelihood, n_items) + unseen * np.exp(-top)
    return np.asarray(likelihood / total[item])
