"""The classical model: golden values, properties, and a plain implementation of the same formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.voting_filter.methods.dawid_skene.confusion import FLOOR, fit_confusion


def naive(votes, shape, iterations):
    """Dawid and Skene's EM by loops over (item, voter, label) triples; start: shares of the votes."""
    n_items, n_voters, n_labels = shape
    labels = range(n_labels)
    posterior = []
    for item in range(n_items):
        own = [label for i, _, label in votes if i == item]
        posterior.append([own.count(k) / len(own) for k in labels])

    def m_step():
        priors = [max(sum(row[k] for row in posterior) / n_items, FLOOR) for k in labels]
        errors = {}
        for voter in range(n_voters):
            given_labels = {label for _, v, label in votes if v == voter}
            counts = {
                label: [
                    max(sum(posterior[i][k] for i, v, x in votes if (v, x) == (voter, label)), FLOOR)
                    for k in labels
                ]
                for label in given_labels
            }
            for label, row in counts.items():
                for k in labels:
                    errors[voter, label, k] = row[k] / sum(other[k] for other in counts.values())
        return priors, errors

    for _ in range(iterations):
        priors, errors = m_step()
        for item in range(n_items):
            own = [(v, x) for i, v, x in votes if i == item]
            logs = [math.log(priors[k]) + sum(math.log(errors[v, x, k]) for v, x in own) for k in labels]
            weights = [math.exp(value - max(logs)) for value in logs]
            posterior[item] = [weight / sum(weights) for weight in weights]
    return np.array(posterior)


def fit_votes(votes, shape, **settings):
    items, voters, labels = np.array(votes).T
    return fit_confusion(items, voters, labels, shape, **settings)


def simulated(n_items=60, n_voters=5, n_labels=3, seed=0, accuracy=(0.9, 0.8, 0.7, 0.6, 0.5)):
    rng = np.random.default_rng(seed)
    truth = rng.integers(n_labels, size=n_items)
    votes = []
    for item in range(n_items):
        for voter in range(n_voters):
            wrong = (truth[item] + rng.integers(1, n_labels)) % n_labels
            votes.append((item, voter, int(truth[item] if rng.random() < accuracy[voter] else wrong)))
    return votes, truth


def test_one_iteration_by_hand():
    """Two items, two voters, labels 0 and 1: both say 0 on the first item; on the second a says 1, b says 0.

    Start: P = [(1, 0), (1/2, 1/2)], so p = (3/4, 1/4). Counts of a: answered 0 (1, 0), answered 1 (1/2, 1/2):
    e_a[0 | 0] = 1 / 1.5 = 2/3, e_a[0 | 1] = 0, e_a[1 | 0] = 1/3, e_a[1 | 1] = 1; b always says 0: e_b[0 | .]
    = 1. Item 1: 3/4 * 2/3 against 1/4 * 0 -> (1, 0). Item 2: 3/4 * 1/3 against 1/4 * 1 -> (1/2, 1/2).
    """
    model = fit_votes([(0, 0, 0), (0, 1, 0), (1, 0, 1), (1, 1, 0)], (2, 2, 2), max_iterations=1)
    assert model.posterior == pytest.approx(np.array([[1, 0], [0.5, 0.5]]), abs=1e-8)
    assert model.priors == pytest.approx([0.75, 0.25])
    assert model.errors[0] == pytest.approx(np.array([[2 / 3, 0], [1 / 3, 1]]), abs=1e-8)
    assert model.errors[1] == pytest.approx(np.array([[1, 1], [0, 0]]), abs=1e-8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("iterations", [1, 2, 7])
def test_equal_to_the_plain_implementation(seed, iterations):
    votes, _ = simulated(n_items=25, seed=seed)
    kept = [vote for i, vote in enumerate(votes) if i % 7 != seed]  # not everybody answers everything
    model = fit_votes(kept, (25, 5, 3), max_iterations=iterations, tolerance=-np.inf)
    assert model.posterior == pytest.approx(naive(kept, (25, 5, 3), iterations), abs=1e-9)
    assert len(model.losses) == iterations


def test_stops_once_the_bound_stops_growing():
    votes, _ = simulated(n_items=200)
    loose = fit_votes(votes, (200, 5, 3), tolerance=1e-2)
    tight = fit_votes(votes, (200, 5, 3), tolerance=1e-9, max_iterations=1000)
    assert len(loose.losses) < len(tight.losses) < 1000
    assert loose.losses[-1] - loose.losses[-2] < 1e-2
    assert tight.losses == tuple(sorted(tight.losses))


def test_beats_majority_where_voters_differ():
    votes, truth = simulated(n_items=500, seed=4, accuracy=(0.97, 0.9, 0.5, 0.45, 0.4))
    model = fit_votes(votes, (500, 5, 3))
    shares = np.zeros((500, 3))
    np.add.at(shares, (np.array(votes)[:, 0], np.array(votes)[:, 2]), 1)
    assert (model.posterior.argmax(1) == truth).mean() > (shares.argmax(1) == truth).mean() + 0.03
    diagonal = np.einsum("vkk->vk", model.errors).mean(axis=1)
    assert diagonal == pytest.approx([0.97, 0.9, 0.5, 0.45, 0.4], abs=0.08)


def test_perfect_voters_leave_no_doubt():
    votes, truth = simulated(accuracy=(1.0,) * 5)
    model = fit_votes(votes, (60, 5, 3))
    assert model.posterior[np.arange(60), truth] == pytest.approx(np.ones(60), abs=1e-6)


def test_a_single_voter_is_believed():
    model = fit_votes([(i, 0, i % 3) for i in range(9)], (9, 1, 3))
    assert model.posterior.argmax(1).tolist() == [0, 1, 2] * 3


def test_items_without_votes_have_the_prior():
    model = fit_votes([(0, 0, 0), (0, 1, 0), (2, 0, 1), (2, 1, 1)], (3, 2, 2))
    assert model.posterior[1] == pytest.approx(model.priors, abs=1e-9)
    assert model.priors == pytest.approx([0.5, 0.5])


def test_pseudo_votes_pull_to_their_shares():
    """One voter, one vote: counts (1 + 8, 2) and (2, 8) for labels 0 and 1 given 0 and 1."""
    prior = np.array([[8.0, 2.0], [2.0, 8.0]])
    model = fit_votes([(0, 0, 0)], (1, 1, 2), max_iterations=1, pseudo_votes=prior)
    assert model.errors[0] == pytest.approx(np.array([[9 / 11, 0.2], [2 / 11, 0.8]]), abs=1e-4)


@pytest.mark.parametrize("votes", [[(0, 0, 2)], [(0, 0, -1)], [(5, 0, 0)]])
def test_indices_out_of_range_are_refused(votes):
    with pytest.raises(ValueError):
        fit_votes(votes, (1, 1, 2))


def test_no_votes_are_refused():
    with pytest.raises(ValueError, match="no votes"):
        fit_confusion(np.array([], int), np.array([], int), np.array([], int), (1, 1, 2))


vote_sets = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.tuples(st.integers(0, n - 1), st.integers(0, 2), st.integers(0, 2)), min_size=3, max_size=30
    ).map(lambda votes: (n, votes))
)


@settings(max_examples=60, deadline=None)
@given(vote_sets, st.randoms(use_true_random=False))
def test_names_of_items_voters_and_labels_do_not_matter(case, rng):
    n, votes = case
    items, voters, labels = (rng.sample(range(size), size) for size in (n, 3, 3))
    renamed = [(items[i], voters[v], labels[x]) for i, v, x in votes]
    rng.shuffle(renamed)
    few = {"max_iterations": 4, "tolerance": -np.inf}
    one, other = fit_votes(votes, (n, 3, 3), **few), fit_votes(renamed, (n, 3, 3), **few)
    assert other.posterior[np.ix_(items, labels)] == pytest.approx(one.posterior, abs=1e-6)
    assert other.errors[np.ix_(voters, labels, labels)] == pytest.approx(one.errors, abs=1e-6)
    assert one.posterior.sum(axis=1) == pytest.approx(np.ones(n), abs=1e-6)


def test_the_same_votes_give_the_same_bytes():
    votes, _ = simulated()
    one, two = fit_votes(votes, (60, 5, 3)), fit_votes(votes, (60, 5, 3))
    assert one.posterior.tobytes() == two.posterior.tobytes() and one.losses == two.losses
