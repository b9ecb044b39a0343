"""Classical Dawid-Skene: every voter's confusion matrix and every item's answer, by EM. Pure.

A. P. Dawid and A. M. Skene, Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm,
Applied Statistics 28(1), 1979. Item i has the true label z_i ~ Categorical(p). Voter v answers l with
probability e_v[l, z_i], independently of the other voters. In the paper's notation:

    E-step (2.5)   P(z_i = k) ~ p[k] * prod over votes (v, l) on i of e_v[l, k].
    M-step (2.3)   e_v[l, k]  ~ sum over items where v answered l of P(z_i = k).
           (2.4)   p[k]       = mean over items of P(z_i = k).

Start (shares of the votes), floors and stopping rule are those of crowd-kit's `DawidSkene`: without
pseudo-votes the two agree to rounding. Pseudo-votes are Dirichlet counts in the M-step, which keep voters
with few votes near the prior. Votes are one sparse matrix of items by (voter, label). Both steps are its
product with a small dense matrix, so an iteration is linear in the votes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

FLOOR = 1e-10
"""Smallest count, prior and posterior; keeps logarithms finite."""

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]


@dataclass(frozen=True)
class ConfusionModel:
    """A fitted model of I items, V voters and K labels."""

    posterior: Floats
    """(I, K), P(true label of the item is k); rows of items without votes are the priors."""
    priors: Floats
    """(K,), how common each label is."""
    errors: Floats
    """(V, K, K), errors[v, l, k] = P(voter v answers l | k is true); 0 if the voter never gave l."""
    losses: tuple[float, ...]
    """Evidence lower bound per vote after each iteration."""


def fit_confusion(
    items: Ints,
    voters: Ints,
    labels: Ints,
    shape: tuple[int, int, int],
    *,
    max_iterations: int = 100,
    tolerance: float = 1e-5,
    pseudo_votes: Floats | None = None,
) -> ConfusionModel:
    """Fit by EM.

    Args:
        items: (N,) item of each vote, 0 to I - 1.
        voters: (N,) its voter, 0 to V - 1.
        labels: (N,) its label, 0 to K - 1.
        shape: (I, V, K).
        max_iterations: most EM iterations; at least one.
        tolerance: stop once the bound per vote grows by less.
        pseudo_votes: (K, K) counts added to every voter's confusion counts [l, k]; None adds nothing.

    Raises:
        ValueError: there are no votes, or an index is out of range.
    """
    n_items, n_voters, n_labels = shape
    if not len(items):
        raise ValueError("there are no votes to fit; give at least one")
    if np.any(np.asarray(labels) < 0) or np.any(np.asarray(labels) >= n_labels):
        raise ValueError(f"labels must be 0 to {n_labels - 1}")
    group = np.asarray(voters, dtype=np.int64) * n_labels + np.asarray(labels)
    votes = csr_array((np.ones(len(items)), (items, group)), shape=(n_items, n_voters * n_labels))
    voted = np.asarray(votes.sum(axis=1)).ravel() > 0
    own = slice(None) if voted.all() else voted
    # A label that a voter never gave has probability 0, unless pseudo-votes say otherwise.
    given = (np.asarray(votes.sum(axis=0)).ravel() > 0) | (pseudo_votes is not None)
    added = np.tile(np.zeros((n_labels, n_labels)) if pseudo_votes is None else pseudo_votes, (n_voters, 1))

    def priors_of(posterior: Floats) -> Floats:
        return np.asarray(np.maximum(posterior[own].mean(axis=0), FLOOR))

    def m_step(posterior: Floats) -> tuple[Floats, Floats]:
        counts = votes.T @ posterior
        errors = np.where(given[:, None], np.maximum(counts + added, FLOOR), 0.0)
        errors = errors.reshape(n_voters, n_labels, n_labels)
        total = errors.sum(axis=1, keepdims=True)
        return counts, np.divide(errors, total, out=errors, where=total > 0).reshape(counts.shape)

    posterior = _shares(votes, n_voters, n_labels)
    priors = priors_of(posterior)
    _, errors = m_step(posterior)
    losses: list[float] = []
    for _ in range(max(max_iterations, 1)):
        posterior = _e_step(votes, priors, errors)
        priors = priors_of(posterior)
        counts, errors = m_step(posterior)
        losses.append(_bound(posterior[own], priors, errors, counts) / len(items))
        if len(losses) > 1 and losses[-1] - losses[-2] < tolerance:
            break
    return ConfusionModel(posterior, priors, errors.reshape(n_voters, n_labels, n_labels), tuple(losses))


def _shares(votes: csr_array, n_voters: int, n_labels: int) -> Floats:
    """(I, K) shares of an item's votes; even where it has none."""
    counts = votes @ np.tile(np.eye(n_labels), (n_voters, 1))
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.full(counts.shape, 1 / n_labels), where=total > 0)


def _log(values: Floats) -> Floats:
    """Logarithm with 0 where the value is 0: answers never given are in no product."""
    return np.log(values, out=np.zeros_like(values), where=values > 0)


def _e_step(votes: csr_array, priors: Floats, errors: Floats) -> Floats:
    log_likelihood = votes @ _log(errors)
    log_likelihood += np.log(priors)
    log_likelihood -= log_likelihood.max(axis=1, keepdims=True)
    posterior = np.exp(log_likelihood, out=log_likelihood)
    posterior /= posterior.sum(axis=1, keepdims=True)
    return np.asarray(np.maximum(posterior, FLOOR, out=posterior))


def _bound(posterior: Floats, priors: Floats, errors: Floats, counts: Floats) -> float:
    """The evidence lower bound as crowd-kit has it: the prior's term counts once a vote, not once an item."""
    expectation = float((counts * (_log(errors) + np.log(priors))).sum())
    return expectation - float(np.vdot(posterior, np.log(posterior)))
