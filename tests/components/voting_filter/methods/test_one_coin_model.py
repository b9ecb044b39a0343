"""The one-coin model over open answer sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.voting_filter.methods.dawid_skene.one_coin import FREE_COINCIDENCE, OneCoinVotes, fit_one_coin


def votes_of(ballots: list[list[str]], options: int = 0) -> tuple[OneCoinVotes, list[list[str]]]:
    """Voter j of every ballot is rater j; "" is no answer. Also the candidates of each item, sorted."""
    candidates = [sorted(set(own) - {""}) for own in ballots]
    starts = np.cumsum([0, *map(len, candidates)])
    rows = [
        (item, rater, starts[item] + candidates[item].index(answer) if answer else -1)
        for item, own in enumerate(ballots)
        for rater, answer in enumerate(own)
    ]
    items, raters, chosen = np.array(rows, dtype=np.int64).T
    return (
        OneCoinVotes(
            item_form=np.zeros(len(ballots), dtype=np.int64),
            candidate_item=np.repeat(np.arange(len(ballots)), np.diff(starts)),
            vote_candidate=chosen,
            vote_item=items,
            vote_rater=raters,
            form_options=np.array([options]),
            n_raters=max(map(len, ballots)),
        ),
        candidates,
    )


def fitted(ballots: list[list[str]], options: int = 0, **settings):
    votes, candidates = votes_of(ballots, options)
    model = fit_one_coin(votes, **{"prior_reliability": 0.8, "prior_votes": 10.0, **settings})
    rows = np.split(model.posterior, np.cumsum([len(own) for own in candidates])[:-1])
    return [dict(zip(own, row, strict=True)) for own, row in zip(candidates, rows, strict=True)], model


def simulated(n_items: int, accuracy: list[float], alternatives: int, seed: int = 0) -> list[list[str]]:
    """Truth is "0", wrong answers are uniform over "1" to "<alternatives>"."""
    rng = np.random.default_rng(seed)
    return [
        ["0" if rng.random() < right else str(rng.integers(1, alternatives + 1)) for right in accuracy]
        for _ in range(n_items)
    ]


def test_one_step_by_hand():
    """Two of three voters say x, one y, of four options; start P(x) = 2/3, P(y) = 1/3.

    Reliability of x's voters (2/3 + 8) / 11, of y's (1/3 + 8) / 11; q = 1/3 (the floor: no pair of wrong
    votes coincides but for y true: expected same 1/3 + 10/3, wrong 1/3 + 10, which is 0.355). Two more
    options are unseen.
    """
    (row,), _ = fitted([["x", "x", "y"]], options=4, max_iterations=1)
    q = (1 / 3 + 10 / 3) / (1 / 3 + 10)
    r_x, r_y = (2 / 3 + 8) / 11, (1 / 3 + 8) / 11
    x, y = (r_x / ((1 - r_x) * q)) ** 2, r_y / ((1 - r_y) * q)
    assert row["x"] == pytest.approx(x / (x + y + 2)) and row["y"] == pytest.approx(y / (x + y + 2))


def test_reliability_and_coincidence_are_recovered():
    accuracy = [0.95, 0.85, 0.7, 0.6]
    rows, model = fitted(simulated(3000, accuracy, alternatives=5))
    assert model.reliability == pytest.approx(accuracy, abs=0.03)
    assert model.coincidence == pytest.approx([0.2], abs=0.03)
    believed = np.mean([row.get("0", 0.0) for row in rows])
    assert np.mean([max(row, key=row.get) == "0" for row in rows]) == pytest.approx(believed, abs=0.02)


def test_equal_votes_prove_less_where_wrong_answers_coincide():
    few, _ = fitted([*simulated(500, [0.6] * 3, alternatives=1), ["a", "a", "b"]])
    many, _ = fitted([*simulated(500, [0.6] * 3, alternatives=200), ["a", "a", "b"]])
    assert many[-1]["a"] > few[-1]["a"] + 0.1


def test_a_reliable_voter_outweighs_two_poor_ones():
    """Odds of a: 0.97 / 0.03 * 3 = 97; of b: (0.5 / 0.5 * 3)^2 = 9; of c: 3."""
    rows, _ = fitted([*simulated(2000, [0.97, 0.5, 0.5, 0.5], alternatives=3), ["a", "b", "b", "c"]])
    assert rows[-1]["a"] > 0.75


def test_perfect_voters_leave_no_doubt():
    rows, model = fitted([[str(i)] * 4 for i in range(50)])
    assert min(row[str(i)] for i, row in enumerate(rows)) > 0.999
    assert min(model.reliability) > 0.95


def test_what_is_no_answer_supports_nothing_and_counts_against_its_voter():
    rows, model = fitted([["x", "x", ""]] * 30)
    assert rows[0]["x"] > 0.99 and model.reliability[2] < 0.3 < 0.9 < model.reliability[0]


def test_a_small_set_stays_near_the_prior():
    _, model = fitted([["x", "x", "y"]])
    assert np.all(np.abs(model.reliability - 0.8) < 0.1)
    assert model.coincidence == pytest.approx([FREE_COINCIDENCE], abs=0.1)


def test_options_bound_the_coincidence():
    _, model = fitted(simulated(300, [0.7] * 4, alternatives=3), options=4)
    assert model.coincidence[0] == pytest.approx(1 / 3, abs=0.03) and model.coincidence[0] >= 1 / 3


ballots = st.lists(st.lists(st.sampled_from("xyz"), min_size=3, max_size=3), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(ballots, st.permutations(range(3)), st.permutations("xyz"))
def test_the_order_of_voters_and_the_names_of_answers_do_not_matter(items, order, names):
    name = dict(zip("xyz", names, strict=True))
    few = {"max_iterations": 5, "tolerance": -1.0}
    rows, model = fitted(items, **few)
    renamed, other = fitted([[name[own[i]] for i in order] for own in items], **few)
    for row, found in zip(rows, renamed, strict=True):
        assert {name[a]: p for a, p in row.items()} == pytest.approx(found, abs=1e-9)
        assert 0 <= sum(row.values()) <= 1 + 1e-9
    assert other.reliability == pytest.approx(model.reliability[list(order)], abs=1e-9)
